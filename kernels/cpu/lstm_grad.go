package cpu

import "github.com/espalier-ml/espalier/kernels"

// lstmGrad walks the steps backwards. The gradient of a state is DH plus the
// next step's gate gradients times Wᵀ; that of the weights is one product
// over all steps at the end.
func (l *lowering) lstmGrad(o *kernels.LSTMGrad) []stage {
	c := cutLSTM(o.H)
	g := gemm{m: c.b, n: c.h, k: 4 * c.h, lda: c.t * 4 * c.h, ldb: 4 * c.h, ldc: c.h, transB: true, alpha: 1}
	all := span{0, c.h}
	temp := l.temp("packed "+o.W.Name, g.packedLen(c.h))
	none, dhs, dcs := l.zeros("zero state", c.h), l.temp("state gradient", c.b*c.h), l.temp("cell gradient", c.b*c.h)
	wt, cell, gates, dh, dx := l.ref(o.W), l.ref(o.C), l.ref(o.Gates), l.ref(o.DH), l.ref(o.DX)
	packed, zero, dhSum, dc := l.ref(temp), l.ref(none), l.ref(dhs), l.ref(dcs)
	pack := stage{name: "pack", reads: []*kernels.Tensor{o.W}, writes: []*kernels.Tensor{temp}, parts: 4,
		run: func(_ *worker, p int) { g.packShare(packed.f, wt.f, all, all.share(p, 4)) }}
	step := func(_ *worker, part, t int) {
		rows, units := c.share(part)
		last := t == c.t-1
		if !last {
			e := epilogue{from: dh.f[t*c.h:], ldFrom: c.t * c.h}
			g.run(dx.f[(t+1)*4*c.h:], packedB{packed.f, all}, dhSum.f, rows, units, &e)
		}
		for r := rows.lo; r < rows.hi; r++ {
			at, state := (r*c.t+t)*c.h, r*c.h+units.lo
			unit, gate := at+units.lo, 4*at+units.lo
			a := lstmGradArgs{gates: &gates.f[gate], gate: uintptr(c.h * 4), dgates: &dx.f[gate], dgate: uintptr(c.h * 4),
				prev: &zero.f[units.lo], c: &cell.f[unit], dh: &dhSum.f[state], dc: &dc.f[state], n: units.len()}
			if t > 0 {
				a.prev = &cell.f[unit-c.h]
			}
			if last {
				a.dh = &dh.f[unit]
				clear(dc.f[state : state+a.n])
			}
			lstmCellGradAVX(&a)
		}
	}
	st := append([]stage{pack}, c.stages("lstm-grad", []*kernels.Tensor{temp, none, o.C, o.Gates, o.DH}, []*kernels.Tensor{o.DX, dhs, dcs},
		func(i int) int { return c.t - 1 - i }, step)...)
	return append(st, l.lstmWeights(o, &c))
}

// lstmWeights is DW (+)= Σ H(t-1)ᵀ·DX(t): the product of the rows of H with
// the rows of DX one later, less the pairs that straddle two sequences.
func (l *lowering) lstmWeights(o *kernels.LSTMGrad, c *lstmCut) stage {
	h, dx, dw := l.ref(o.H), l.ref(o.DX), l.ref(o.DW)
	st := stage{name: "lstm-weights", reads: []*kernels.Tensor{o.H, o.DX}, writes: []*kernels.Tensor{o.DW}}
	if o.Acc {
		st.reads = append(st.reads, o.DW)
	}
	if c.t == 1 { // no step has one before it
		st.parts, st.run = 1, func(*worker, int) {
			if !o.Acc {
				clear(dw.f)
			}
		}
		return st
	}
	g := gemm{m: c.h, n: 4 * c.h, k: c.b*c.t - 1, lda: c.h, ldb: 4 * c.h, ldc: 4 * c.h, transA: true, alpha: 1}
	l.local(g.streamLen())
	b, steps := c.b, c.t
	st.parts = min(16, panels(g.n))
	st.run = func(w *worker, part int) {
		mem, e := w.floats(g.streamLen()), epilogue{acc: o.Acc}
		cols := span{0, g.n}.share(part, st.parts)
		for step := g.chunk(); cols.lo < cols.hi; cols.lo += step {
			some := span{cols.lo, min(cols.lo+step, cols.hi)}
			packed := g.pack(mem, dx.f[g.ldb:], some)
			for i := 1; i < b; i++ {
				g.dropRow(packed, i*steps-1)
			}
			g.run(h.f, packed, dw.f, span{0, g.m}, some, &e)
		}
	}
	return st
}
