package cpu

import (
	"github.com/espalier-ml/espalier/kernels"
	"github.com/espalier-ml/espalier/kernels/vec"
)

// winoGradPlan is the gradient by the weights: for each of the 16 places, the
// products of a tile's pixels and gradients are summed over tiles by the grad
// kernels.
type winoGradPlan struct {
	winoTiling
	blocks []convBlock
	tiled  []gradRows // input channels
	tab    [2]int32   // planes begin where they begin
}

// winogradWeights tells whether the gradient by the weights is worth the
// transformations: each part of the images sums 16/9 of the gradient.
func (g *window) winogradWeights() bool { return g.winograd(g.c, g.k) && g.c*g.k <= 1<<14 }

func newWinoGradPlan(g *window) *winoGradPlan {
	p := &winoGradPlan{winoTiling: newWinoTiling(g.n, g.h, g.w, g.c, g.k), blocks: channelBlocks(1, g.c, g.k, gradWidths)}
	even(g.c, maxRows(16), func(lo, hi int) {
		r := gradRows{n: hi - lo}
		for i := range r.n {
			r.from[i], r.to[i] = int32(4*(lo+i)), int32(4*(lo+i)*g.k)
		}
		p.tiled = append(p.tiled, r)
	})
	return p
}

// scratch is the thread's memory: planes of pixels and of gradients, rows.
func (p *winoGradPlan) scratch() int { return 16*(p.plane(p.c)+p.plane(p.k)) + p.rows() }

// run adds images [lo, hi) to sum, [16][c][k].
func (p *winoGradPlan) run(scratch, x, dy, sum []float32, lo, hi int) {
	v, rest := scratch[:16*p.plane(p.c)], scratch[16*p.plane(p.c):]
	d, t := rest[:16*p.plane(p.k)], rest[16*p.plane(p.k):]
	clear(t)
	p.each(lo, hi, func(i, n, r, end int) {
		tiles := p.tiles(end - r)
		for g := range n {
			p.input(v[g*tiles*p.c:], t, x[(i+g)*p.h*p.w*p.c:], r, end)
			p.spread(d[g*tiles*p.k:], dy[((i+g)*p.h+2*r)*p.w*p.k:], end-r)
		}
		p.ahead(x, p.c, i, n, r, end)
		p.ahead(dy, p.k, i, n, r, end)
		p.add(v, d, sum, n*tiles)
	})
}

// spread transforms some rows of tiles: A·dY·Aᵀ.
func (p *winoGradPlan) spread(d, dy []float32, rows int) {
	line := p.w * p.k
	for i := range rows {
		winoSpread(addr(d, p.tiles(i)*p.k), addr(dy, 2*i*line), addr(dy, (2*i+1)*line), p.w/2, p.k, 4*p.plane(p.k))
	}
}

// add sums the products of the given number of tiles.
func (p *winoGradPlan) add(v, d, sum []float32, tiles int) {
	for place := range 16 {
		for i := range p.blocks {
			b := &p.blocks[i]
			a := convGradArgs{
				rowSide: addr(v, place*p.plane(p.c)), laneSide: addr(d, place*p.plane(p.k)+b.out),
				out: addr(sum, place*p.c*p.k+b.out), count: tiles, rowStep: 4 * p.c, laneStep: 4 * p.k,
				flags: convAdd, mask: convMask(b.lanes()), lanes: b.lanes(), tab: addr(p.tab[:], 0),
			}
			if b.masked() {
				a.flags |= convMasked
			}
			for r := range p.tiled {
				a.n, a.rows, a.segs = p.tiled[r].n, addr(p.tiled[r].from[:], 0), 1
				convGradKernel(b.width, false, &a)
			}
		}
	}
}

// convWeightWinograd are the stages of a plan: sums for each part of the
// images, folded in order.
func (l *lowering) convWeightWinograd(o *kernels.ConvWeight, p *winoGradPlan) []stage {
	x, dy := l.ref(o.X), l.ref(o.DY)
	size, parts := 16*p.c*p.k, batchParts(p.images)
	tmp := l.temp("conv-weight sums", size*parts)
	sums := l.ref(tmp)
	l.local(p.scratch())
	return []stage{{
		name: "conv-weight", reads: []*kernels.Tensor{o.X, o.DY}, writes: []*kernels.Tensor{tmp},
		images: p.images, bytes: 4 * p.h * p.w * (p.c + p.k),
		batch: func(w *worker, part, lo, hi int) {
			sum := sums.f[part*size:][:size]
			if first, _ := partRange(p.images, part); lo == first {
				clear(sum)
			}
			p.run(w.floats(p.scratch()), x.f, dy.f, sum, lo, hi)
		},
	}, l.winogradFold(o, tmp, parts)}
}

// winogradFold adds the parts of the sums in order, and transforms them to the
// gradient, on top of DW with Acc.
func (l *lowering) winogradFold(o *kernels.ConvWeight, tmp *kernels.Tensor, parts int) stage {
	sums, dw := l.ref(tmp), l.ref(o.DW)
	weights := o.DW.Dim(2) * o.DW.Dim(3) // of a tap
	reads := []*kernels.Tensor{tmp}
	if o.Acc {
		reads = append(reads, o.DW)
	}
	const chunk = 256
	cuts := max(1, min(16, weights/1024))
	l.local((16 + 9) * chunk)
	return stage{
		name: "conv-weight fold", reads: reads, writes: []*kernels.Tensor{o.DW}, parts: cuts,
		run: func(w *worker, cut int) {
			lo, hi := cut*weights/cuts, (cut+1)*weights/cuts
			for ; lo < hi; lo += chunk {
				n := min(chunk, hi-lo)
				places, taps := w.floats(25 * chunk)[:16*chunk], w.floats(25 * chunk)[16*chunk:]
				for i := range 16 {
					sum := places[i*chunk:][:n]
					copy(sum, sums.f[i*weights+lo:])
					for p := 1; p < parts; p++ {
						vec.AddTo(sum, sums.f[(p*16+i)*weights+lo:][:n])
					}
				}
				winoFold(addr(taps, 0), addr(places, 0), (n+7)&^7, 4*chunk, 4*chunk)
				for i := range 9 {
					if d := dw.f[i*weights+lo:][:n]; o.Acc {
						vec.AddTo(d, taps[i*chunk:][:n])
					} else {
						copy(d, taps[i*chunk:])
					}
				}
			}
		},
	}
}
