package cpu

import "github.com/espalier-ml/espalier/kernels"

// panelPlan is the gradient by many weights. Pixels are copied, while they are
// in cache, to panels in which those of a group of images lie side by side: six
// channels of x, sixteen of dy. Then every part computes some blocks of output
// channels over all images, straight into the gradient.
type panelPlan struct {
	window        // with one tap: of the pixels that it meets
	from   window // of the operands
	blocks []convBlock
	group  int // images whose panels stay in the first-level cache together
	tiles  [][2]int
	taps   []panelTap
	rows   gradRows
	x, dy  int // floats of a panel
}

// panelTap is a tap and the pixels that meet it.
type panelTap struct {
	gradJob
	tap int
}

const (
	panelRows  = 6
	panelLanes = 16
	panelBytes = 24 << 10
)

// wantsPanels: sums for every part of the images would take too much memory,
// or images are so small that calls would be short.
func (g *window) wantsPanels() bool {
	weights := g.kh * g.kw * g.cg * g.k
	return g.Groups == 1 && (weights >= manyWeights*3/4 || weights >= manyWeights/8 && g.oh*g.ow <= 40)
}

func newPanelPlan(g window) *panelPlan {
	p := &panelPlan{window: g, from: g, blocks: channelBlocks(1, g.c, g.k, gradWidths)}
	if g.kh == 1 && g.kw == 1 {
		g.h, g.w, g.Stride = g.oh, g.ow, 1
		p.window = g
	}
	image := 4 * (panelRows*g.h*g.w + panelLanes*g.oh*g.ow)
	p.group = max(1, min(g.n, panelBytes/image))
	p.x, p.dy = p.group*g.h*g.w*panelRows, p.group*g.oh*g.ow*panelLanes
	even(g.c, panelRows, func(lo, hi int) { p.tiles = append(p.tiles, [2]int{lo, hi}) })
	for i := range p.rows.from {
		p.rows.from[i], p.rows.to[i] = int32(4*i), int32(4*i*g.k)
	}
	ps := g.forwardPasses()[0]
	for _, b := range ps.byTap(0, g.oh) {
		p.taps = append(p.taps, p.panelTap(&ps, b))
	}
	return p
}

func (p *panelPlan) panelTap(ps *convPass, b convBox) panelTap {
	t := panelTap{
		gradJob: gradJob{runs: b.h.len(), count: b.w.len(), rowStep: 4 * panelRows * p.Stride, laneStep: 4 * panelLanes},
		tap:     b.h.t0*p.kw + b.w.t0,
	}
	for g := range p.group {
		for r := b.h.lo; r < b.h.hi; r++ {
			x := (g*p.h+ps.h.in(r, b.h.t0))*p.w + ps.w.in(b.w.lo, b.w.t0)
			dy := (g*p.oh+r)*p.ow + b.w.lo
			t.tab = append(t.tab, int32(4*panelRows*x), int32(4*panelLanes*dy))
		}
	}
	return t
}

// groups is the number of groups of images.
func (p *panelPlan) groups() int { return (p.n + p.group - 1) / p.group }

// pack copies images [lo, hi) to their panels.
func (p *panelPlan) pack(xp, dyp, x, dy []float32, lo, hi int) {
	xImage, dyImage := p.h*p.w, p.oh*p.ow
	for i := lo; i < hi; i++ {
		g, slot := i/p.group, i%p.group
		for t, c := range p.tiles {
			to := xp[(g*len(p.tiles)+t)*p.x+slot*xImage*panelRows:][:xImage*panelRows]
			p.packTile(to, x[i*p.from.h*p.from.w*p.c+c[0]:], c[1]-c[0])
		}
		for j, b := range p.blocks {
			to := dyp[(g*len(p.blocks)+j)*p.dy+slot*dyImage*panelLanes:][:dyImage*panelLanes]
			copyColumns(to, panelLanes, dy[i*dyImage*p.k+b.out:], p.k, b.n)
		}
	}
}

// packTile copies n channels of an image, or of the pixels that one tap meets.
func (p *panelPlan) packTile(to, x []float32, n int) {
	if p.h == p.from.h && p.w == p.from.w {
		copyColumns(to, panelRows, x, p.c, n)
		return
	}
	row := p.w * panelRows
	for h := range p.h {
		copyColumns(to[h*row:][:row], panelRows, x[h*p.from.Stride*p.from.w*p.c:], p.from.Stride*p.c, n)
	}
}

// copyColumns copies n values from every stride in src to every width in dst,
// until dst is full.
func copyColumns(dst []float32, width int, src []float32, stride, n int) {
	s := 0
	switch n {
	case 16:
		for d := 0; d < len(dst); d += width {
			*(*[16]float32)(dst[d:]) = *(*[16]float32)(src[s:])
			s += stride
		}
	case 8:
		for d := 0; d < len(dst); d += width {
			*(*[8]float32)(dst[d:]) = *(*[8]float32)(src[s:])
			s += stride
		}
	case 6:
		for d := 0; d < len(dst); d += width {
			*(*[6]float32)(dst[d:]) = *(*[6]float32)(src[s:])
			s += stride
		}
	case 5:
		for d := 0; d < len(dst); d += width {
			*(*[5]float32)(dst[d:]) = *(*[5]float32)(src[s:])
			s += stride
		}
	default:
		for d := 0; d < len(dst); d += width {
			copy(dst[d:d+n], src[s:])
			s += stride
		}
	}
}

// run computes blocks [b0, b1) of the gradient.
func (p *panelPlan) run(xp, dyp, dw []float32, b0, b1 int, acc bool) {
	if !acc {
		p.clearUnmet(dw, b0, b1)
	}
	for g := range p.groups() {
		n := min(p.group, p.n-g*p.group)
		for b := b0; b < b1; b++ {
			lanes := dyp[(g*len(p.blocks)+b)*p.dy:][:p.dy]
			for t := range p.tiles {
				p.tile(xp[(g*len(p.tiles)+t)*p.x:][:p.x], lanes, dw, &p.blocks[b], p.tiles[t], n, acc || g > 0)
			}
		}
	}
}

// tile adds all taps of some channels of x, over n images.
func (p *panelPlan) tile(rows, lanes, dw []float32, b *convBlock, c [2]int, n int, add bool) {
	a := convGradArgs{
		n: c[1] - c[0], rowSide: addr(rows, 0), laneSide: addr(lanes, 0), rows: addr(p.rows.from[:], 0),
		mask: convMask(b.lanes()), lanes: b.lanes(),
	}
	if add {
		a.flags |= convAdd
	}
	if b.masked() {
		a.flags |= convMasked
	}
	for i := range p.taps {
		t := &p.taps[i]
		a.out = addr(dw, (t.tap*p.c+c[0])*p.k+b.out)
		a.tab, a.segs, a.count, a.rowStep, a.laneStep = addr(t.tab, 0), n*t.runs, t.count, t.rowStep, t.laneStep
		convGradKernel(b.width, false, &a)
	}
}

// clearUnmet zeroes the rows of taps that no pixel meets.
func (p *panelPlan) clearUnmet(dw []float32, b0, b1 int) {
	lo, hi := p.blocks[b0].out, p.blocks[b1-1].out+p.blocks[b1-1].n
	next := 0
	for t := range p.kh * p.kw {
		if next < len(p.taps) && p.taps[next].tap == t {
			next++
			continue
		}
		for c := range p.c {
			clear(dw[(t*p.c+c)*p.k+lo : (t*p.c+c)*p.k+hi])
		}
	}
}

// slice is the number of blocks of a part: their gradient should stay in the
// second-level cache, and there should be some parts to share.
func (p *panelPlan) slice() int {
	return max(1, min(len(p.blocks)/8, 96<<10/(p.kh*p.kw*p.c*panelLanes)))
}

func (l *lowering) convWeightPanels(o *kernels.ConvWeight, p *panelPlan) []stage {
	x, dy, dw := l.ref(o.X), l.ref(o.DY), l.ref(o.DW)
	xt := l.temp("conv-weight x panels", p.groups()*len(p.tiles)*p.x)
	dyt := l.temp("conv-weight dy panels", p.groups()*len(p.blocks)*p.dy)
	xp, dyp := l.ref(xt), l.ref(dyt)
	reads := []*kernels.Tensor{xt, dyt}
	if o.Acc {
		reads = append(reads, o.DW)
	}
	slice := p.slice()
	return []stage{{
		name: "conv-weight panels", reads: []*kernels.Tensor{o.X, o.DY}, writes: []*kernels.Tensor{xt, dyt},
		images: p.n, bytes: 8 * (p.h*p.w*p.c + p.oh*p.ow*p.k),
		batch: func(_ *worker, _, lo, hi int) { p.pack(xp.f, dyp.f, x.f, dy.f, lo, hi) },
	}, {
		name: "conv-weight", reads: reads, writes: []*kernels.Tensor{o.DW}, parts: (len(p.blocks) + slice - 1) / slice,
		run: func(_ *worker, part int) {
			p.run(xp.f, dyp.f, dw.f, part*slice, min((part+1)*slice, len(p.blocks)), o.Acc)
		},
	}}
}
