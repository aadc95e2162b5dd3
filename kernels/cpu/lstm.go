package cpu

import "github.com/espalier-ml/espalier/kernels"

// An LSTM is a chain in time, so there are two ways to share it among
// threads, chosen by shape. A batch of many rows is cut into blocks of rows,
// and each part runs all its steps alone. A small batch is cut by units: a
// private stage for every step, in which a part computes the four gates of
// its units from all of h.
//
// The products of a step take h in place, as rows T·H apart, with the
// recurrent weights packed once and the input contributions added as the
// sums are stored. The gates are activated while they are in cache.

// A part that runs alone has at least fewRows rows where the recurrent weights
// (16·H² bytes) stay in the second-level cache from step to step, else manyRows,
// for they come from further away.
const (
	fewRows   = 5
	manyRows  = 20
	residentH = 256
)

// lstmCut is the geometry of an LSTM and its cut.
type lstmCut struct {
	b, t, h int
	byRows  bool
	parts   int
}

func cutLSTM(h *kernels.Tensor) lstmCut {
	c := lstmCut{b: h.Dim(0), t: h.Dim(1), h: h.Dim(2)}
	least := fewRows
	if c.h > residentH {
		least = manyRows
	}
	if c.parts = min(16, c.b/least); c.parts >= 2 {
		c.byRows = true
	} else {
		c.parts = min(8, panels(c.h))
	}
	return c
}

// share is the rows and units that a part computes.
func (c *lstmCut) share(part int) (rows, units span) {
	if c.byRows {
		return span{part * c.b / c.parts, (part + 1) * c.b / c.parts}, span{0, c.h}
	}
	return span{0, c.b}, span{0, c.h}.share(part, c.parts)
}

// stages runs step for every step in the order given by at, and every part.
func (c *lstmCut) stages(name string, reads, writes []*kernels.Tensor, at func(i int) int, step func(w *worker, part, t int)) []stage {
	if c.byRows {
		return []stage{{name: name, reads: reads, writes: writes, parts: c.parts, run: func(w *worker, part int) {
			for i := range c.t {
				step(w, part, at(i))
			}
		}}}
	}
	var st []stage
	for i := range c.t {
		t := at(i)
		st = append(st, stage{name: name, reads: reads, writes: writes, parts: c.parts,
			run: func(w *worker, part int) { step(w, part, t) }})
	}
	return st
}

// gates is the product h·W of a step: as one matrix where a part has all
// units, else as `count` matrices, one a gate.
func (c *lstmCut) gates() (g gemm, count int) {
	g = gemm{m: c.b, n: 4 * c.h, k: c.h, lda: c.t * c.h, ldb: 4 * c.h, ldc: c.t * 4 * c.h, alpha: 1}
	if c.byRows {
		return g, 1
	}
	g.n = c.h
	return g, 4
}

// activate applies σ to the gates i f o of a row and tanh to g.
func (c *lstmCut) activate(dst, src []float32, units span) {
	for q := range 4 {
		d, s := dst[q*c.h+units.lo:q*c.h+units.hi], src[q*c.h+units.lo:]
		if q == 2 {
			vtanh(d, s)
		} else {
			vsigmoid(d, s)
		}
	}
}

func (l *lowering) lstm(o *kernels.LSTM) []stage {
	c := cutLSTM(o.H)
	g, count := c.gates()
	size, cols := g.packedLen(g.n), span{0, g.n}
	temp, none := l.temp("packed "+o.W.Name, count*size), l.zeros("zero state", c.h)
	x, wt, h, cell, gates := l.ref(o.X), l.ref(o.W), l.ref(o.H), l.ref(o.C), l.ref(o.Gates)
	packed, zero := l.ref(temp), l.ref(none)
	pack := stage{name: "pack", reads: []*kernels.Tensor{o.W}, writes: []*kernels.Tensor{temp}, parts: 4,
		run: func(_ *worker, p int) {
			for q := range count {
				g.packShare(packed.f[q*size:], wt.f[q*g.n:], cols, cols.share(p, 4))
			}
		}}
	product := func(t int, rows, units span) {
		if count == 1 {
			units = cols
		}
		for q := range count {
			at := t*4*c.h + q*g.n
			e := epilogue{from: x.f[at:], ldFrom: g.ldc}
			g.run(h.f[(t-1)*c.h:], packedB{packed.f[q*size:], cols}, gates.f[at:], rows, units, &e)
		}
	}
	step := func(_ *worker, part, t int) {
		rows, units := c.share(part)
		if t > 0 {
			product(t, rows, units)
		}
		for r := rows.lo; r < rows.hi; r++ {
			at := (r*c.t+t)*c.h + units.lo
			row := gates.f[4*(at-units.lo):][:4*c.h]
			a := lstmCellArgs{gates: &row[units.lo], gate: uintptr(c.h * 4), c: &cell.f[at], h: &h.f[at], prev: &zero.f[units.lo], n: units.len()}
			if t > 0 {
				a.prev = &cell.f[at-c.h]
				c.activate(row, row, units)
			} else {
				c.activate(row, x.f[4*(at-units.lo):], units)
			}
			lstmCellAVX(&a)
		}
	}
	return append([]stage{pack}, c.stages("lstm", []*kernels.Tensor{o.X, temp, none}, []*kernels.Tensor{o.H, o.C, o.Gates},
		func(i int) int { return i }, step)...)
}
