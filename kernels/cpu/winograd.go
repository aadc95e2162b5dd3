package cpu

import "github.com/espalier-ml/espalier/kernels"

// Winograd's minimal filtering F(2x2,3x3): Lavin and Gray, "Fast algorithms
// for convolutional neural networks", arXiv 1509.09308, section 4.1. Tiles of
// 2x2 pixels of a 3x3 convolution of stride 1 are
//
//	Y = Aᵀ[(G·g·Gᵀ) ⊙ (Bᵀ·d·B)]A
//
// with g the weights and d the 4x4 pixels that the tile meets: 16 multiply-adds
// a channel and tile instead of 36. All three transformations are sums and
// differences of few values, so results stay within rounding of the direct
// sum. The products, summed over channels, are 16 matrix products, one for
// each place in a tile, which the tile kernels of convolutions compute.
//
// The gradient by the input is such a convolution with turned weights. That by
// the weights is the adjoint,
//
//	dg = Gᵀ[(A·dY·Aᵀ) ⊙ (Bᵀ·d·B)]G
//
// summed over tiles (winograd_weight.go).
type winoPlan struct {
	winoTiling
	blocks     []convBlock
	width      int     // channels of all blocks, and so of a tile in a plane of products
	xOff, yOff []int32 // bytes to each tile in either kind of plane
	acc        bool
}

func newWinoPlan(n, h, w, c, k int) *winoPlan {
	p := &winoPlan{winoTiling: newWinoTiling(n, h, w, c, k), blocks: channelBlocks(1, c, k, gradWidths)}
	last := p.blocks[len(p.blocks)-1]
	p.width = last.out + last.width
	for i := range p.most {
		p.xOff, p.yOff = append(p.xOff, int32(4*i*c)), append(p.yOff, int32(4*i*p.width))
	}
	return p
}

// scratch is the thread's memory: planes of pixels and of products, rows.
func (p *winoPlan) scratch() int { return 16*(p.plane(p.c)+p.plane(p.width)) + p.rows() }

// weightsAt is where the transformed weights of a block begin.
func (p *winoPlan) weightsAt(b *convBlock) int { return 16 * p.c * b.out }

// run computes images [lo, hi).
func (p *winoPlan) run(scratch, x, u, y []float32, lo, hi int) {
	v, rest := scratch[:16*p.plane(p.c)], scratch[16*p.plane(p.c):]
	m, t := rest[:16*p.plane(p.width)], rest[16*p.plane(p.width):]
	clear(t)
	p.each(lo, hi, func(i, n, r, end int) {
		tiles := p.tiles(end - r)
		for g := range n {
			p.input(v[g*tiles*p.c:], t, x[(i+g)*p.h*p.w*p.c:], r, end)
		}
		p.ahead(x, p.c, i, n, r, end)
		prefetch(y, ((i*p.h)+2*r)*p.w*p.k, ((i+n-1)*p.h+2*end)*p.w*p.k)
		p.multiply(v, u, m, n*tiles)
		for g := range n {
			p.output(y[((i+g)*p.h+2*r)*p.w*p.k:], m[g*tiles*p.width:], end-r)
		}
	})
}

// multiply sums products over the channels of the given number of tiles.
func (p *winoPlan) multiply(v, u, m []float32, tiles int) {
	for place := range 16 {
		for i := range p.blocks {
			b := &p.blocks[i]
			a := convTileArgs{
				x: addr(v, place*p.plane(p.c)), w: addr(u, p.weightsAt(b)+place*p.c*b.width),
				y: addr(m, place*p.plane(p.width)+b.out), xOff: addr(p.xOff, 0), yOff: addr(p.yOff, 0),
				run4: p.c / 4, run1: p.c % 4, segs: 1, rows: 1,
			}
			calls := (tiles + maxRows(b.width) - 1) / maxRows(b.width)
			small := tiles / calls
			large := tiles - calls*small
			if large > 0 {
				a.pixels, a.tiles = small+1, large
				winoKernel(b.width, &a)
			}
			a.pixels, a.tiles = small, calls-large
			winoKernel(b.width, &a)
		}
	}
}

func winoKernel(width int, a *convTileArgs) {
	if width == 16 {
		convTile16(a)
		return
	}
	convTile8(a)
}

// output transforms back some rows of tiles.
func (p *winoPlan) output(y, m []float32, rows int) {
	line := p.w * p.k
	for i := range rows {
		winoOutput(addr(y, 2*i*line), addr(y, (2*i+1)*line), addr(m, p.tiles(i)*p.width), p.w/2, p.k, p.width, 4*p.plane(p.width), p.acc)
	}
}

// winograd are the stages of a plan: weights are packed and transformed once
// a run, block by block, then come the images.
func (l *lowering) winograd(name string, p *winoPlan, xt, wt, yt *kernels.Tensor, pack packFunc) []stage {
	x, wgt, y := l.ref(xt), l.ref(wt), l.ref(yt)
	tmp := l.temp(name+" weights", 16*p.c*p.width)
	u := l.ref(tmp)
	l.local(max(9*p.c*16, p.scratch()))
	ins := []*kernels.Tensor{xt, tmp}
	if p.acc {
		ins = append(ins, yt)
	}
	return []stage{{
		name: name + " transform weights", reads: []*kernels.Tensor{wt}, writes: []*kernels.Tensor{tmp}, parts: len(p.blocks),
		run: func(w *worker, part int) {
			b := &p.blocks[part]
			n := p.c * b.width
			taps := w.floats(9 * n)
			pack(taps, wgt.f, b)
			winoWeights(addr(u.f, p.weightsAt(b)), addr(taps, 0), n, 4*n, 4*n)
		},
	}, {
		name: name, reads: ins, writes: []*kernels.Tensor{yt},
		images: p.images, bytes: 4 * p.h * p.w * (p.c + p.k),
		batch: func(w *worker, _, lo, hi int) { p.run(w.floats(p.scratch()), x.f, u.f, y.f, lo, hi) },
	}}
}
