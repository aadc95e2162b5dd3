package cpu

import (
	"unsafe"

	"github.com/espalier-ml/espalier/kernels"
)

// Winograd's minimal filtering F(2x2,3x3): Lavin and Gray, "Fast algorithms
// for convolutional neural networks", arXiv 1509.09308, section 4.1. Tiles of
// 2x2 pixels of a 3x3 convolution of stride 1 are
//
//	Y = Aᵀ[(G·g·Gᵀ) ⊙ (Bᵀ·d·B)]A
//
// with g the weights and d the 4x4 pixels that the tile meets: 16 multiply-adds
// a channel and tile instead of 36. All of the three transformations are sums
// and differences of few values, so results stay within rounding of the
// direct sum. The products, summed over channels, are 16 matrix products, one
// for each place in a tile, which the tile kernels of convolutions compute.
type winoPlan struct {
	images, h, w, c, k int
	group, band        int // images, or rows of tiles of one, that are transformed together
	blocks             []convBlock
	xOff, yOff         []int32 // bytes to each tile of a group in a plane
	xPlane, yPlane     int     // floats of a plane
	acc                bool
}

// The planes of a place in a tile must not all begin in one set of the cache.
const winoStagger = 16

// winoTiles is how many tiles are transformed together: their planes should
// stay in the second-level cache.
const winoTiles = 64

// winograd tells whether a convolution [h,w,c] → [h,w,k] is worth the
// transformations.
func (g *window) winograd(c, k int) bool {
	return g.kh == 3 && g.kw == 3 && g.Stride == 1 && g.Pad == 1 && g.Groups == 1 &&
		g.h%2 == 0 && g.w%2 == 0 && g.h*g.w >= 16 && c%8 == 0 && k%8 == 0 && c >= 16 && k >= 16 && c*k <= 1<<16
}

func newWinoPlan(n, h, w, c, k int) *winoPlan {
	p := &winoPlan{images: n, h: h, w: w, c: c, k: k, blocks: channelBlocks(1, c, k, tileWidths)}
	p.group = max(1, min(n, winoTiles/p.tiles(h/2)))
	p.band = max(1, min(h/2, winoTiles/(w/2)))
	tiles := p.group * p.tiles(p.band)
	for i := range tiles {
		p.xOff, p.yOff = append(p.xOff, int32(4*i*c)), append(p.yOff, int32(4*i*k))
	}
	p.xPlane, p.yPlane = tiles*c+winoStagger, tiles*k+winoStagger
	return p
}

// tiles is the number of tiles in some rows of them.
func (p *winoPlan) tiles(rows int) int { return rows * (p.w / 2) }

// rowFloats is a row of pixels between two of zeros.
func (p *winoPlan) rowFloats() int { return (p.w + 2) * p.c }

// scratch is the thread's memory: both kinds of planes, four transformed rows,
// a row of zeros.
func (p *winoPlan) scratch() int { return 16*(p.xPlane+p.yPlane) + 5*p.rowFloats() }

// weightsAt is where the transformed weights of a block begin.
func (p *winoPlan) weightsAt(b *convBlock) int { return 16 * p.c * b.out }

// run computes images [lo, hi).
func (p *winoPlan) run(scratch, x, u, y []float32, lo, hi int) {
	v, m, t := scratch[:16*p.xPlane], scratch[16*p.xPlane:][:16*p.yPlane], scratch[16*(p.xPlane+p.yPlane):]
	clear(t)
	rows := p.h / 2
	for i := lo; i < hi; i += p.group {
		n := min(p.group, hi-i)
		for r := 0; r < rows; r += p.band {
			end := min(r+p.band, rows)
			tiles := p.tiles(end - r)
			for g := range n {
				p.input(v[g*tiles*p.c:], t, x[(i+g)*p.h*p.w*p.c:][:p.h*p.w*p.c], r, end)
			}
			p.multiply(v, u, m, n*tiles)
			for g := range n {
				p.output(y[((i+g)*p.h+2*r)*p.w*p.k:], m[g*tiles*p.k:], end-r)
			}
		}
	}
}

// input transforms rows [lo, hi) of an image's tiles; t are four rows, zero at
// both ends, and zeros.
func (p *winoPlan) input(v, t, x []float32, lo, hi int) {
	row, line := p.rowFloats(), p.w*p.c
	at := func(i int) unsafe.Pointer {
		if i < 0 || i >= p.h {
			return addr(t, 4*row)
		}
		return addr(x, i*line)
	}
	for i := lo; i < hi; i++ {
		winoRows(addr(t, p.c), 4*row, at(2*i-1), at(2*i), at(2*i+1), at(2*i+2), line)
		for r := range 4 {
			winoColumns(addr(v, 4*r*p.xPlane+p.tiles(i-lo)*p.c), addr(t, r*row), p.w/2, p.c, 4*p.xPlane)
		}
	}
}

// multiply sums products over the channels of the given number of tiles.
func (p *winoPlan) multiply(v, u, m []float32, tiles int) {
	for place := range 16 {
		for i := range p.blocks {
			b := &p.blocks[i]
			a := convTileArgs{
				x: addr(v, place*p.xPlane), w: addr(u, p.weightsAt(b)+place*p.c*b.width), y: addr(m, place*p.yPlane+b.out),
				xOff: addr(p.xOff, 0), yOff: addr(p.yOff, 0), run4: p.c / 4, segs: 1, rows: 1,
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
		winoOutput(addr(y, 2*i*line), addr(y, (2*i+1)*line), addr(m, p.tiles(i)*p.k), p.w/2, p.k, 4*p.yPlane, p.acc)
	}
}

// winograd are the stages of a plan: weights are packed and transformed once
// a run, block by block, then come the images.
func (l *lowering) winograd(name string, p *winoPlan, xt, wt, yt *kernels.Tensor, pack packFunc) []stage {
	x, wgt, y := l.ref(xt), l.ref(wt), l.ref(yt)
	tmp := l.temp(name+" weights", 16*p.c*p.k)
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
