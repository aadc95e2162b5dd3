package cpu

import (
	"github.com/espalier-ml/espalier/kernels"
	"github.com/espalier-ml/espalier/kernels/vec"
)

// gradPlan computes the gradient of a convolution by its weights: every row (a
// tap and an input channel) by a block of output channels is a sum over
// pixels, kept in registers.
type gradPlan struct {
	window
	blocks []convBlock
	group  int // images that jobs list pixels of
	bands  [][]gradJob
}

// gradJob is a sum over some pixels for all rows that meet them.
type gradJob struct {
	tab           []int32 // pairs of byte offsets of runs of pixels, of x and dy
	runs          int     // of an image
	count         int     // pixels of a run
	xStep, dyStep int     // bytes from pixel to pixel
	rows          [2][]gradRows
}

const (
	// gradBytes of x and dy stay in the first-level cache while rows pass.
	gradBytes = 22 << 10
	// gradCall is what a call of a grad kernel costs, in multiply-adds of
	// 16 channels.
	gradCall = 25
)

func newGradPlan(g window) *gradPlan {
	p := &gradPlan{window: g}
	if g.depthwise() {
		p.blocks = depthBlocks(g.k)
	} else {
		p.blocks = channelBlocks(g.Groups, g.cg, g.kg)
	}
	ps := g.forwardPasses()[0]
	line := 4 * (g.w*g.c*g.Stride + g.ow*min(g.k, 16))
	p.group = max(1, min(g.n, gradBytes/(line*g.oh)))
	rows := max(1, gradBytes/line)
	even(g.oh, rows, func(lo, hi int) {
		band := p.byClass(&ps, lo, hi)
		if taps := p.byTap(&ps, lo, hi); !g.depthwise() && cost(taps) < cost(band) {
			band = taps
		}
		p.bands = append(p.bands, band)
	})
	return p
}

// byClass makes a job of each class of pixels: its rows are all taps that the
// class meets.
func (p *gradPlan) byClass(ps *convPass, lo, hi int) (jobs []gradJob) {
	for _, h := range ps.h.spans(lo, hi) {
		for _, w := range ps.w.spans(0, ps.w.n) {
			if h.taps() > 0 && w.taps() > 0 {
				jobs = append(jobs, p.job(ps, h, w))
			}
		}
	}
	return jobs
}

// byTap makes a job of each tap: its pixels are all that meet the tap.
func (p *gradPlan) byTap(ps *convPass, lo, hi int) (jobs []gradJob) {
	for t := range ps.h.taps {
		for u := range ps.w.taps {
			h, w := ps.h.valid(t, lo, hi), ps.w.valid(u, 0, ps.w.n)
			if h.len() > 0 && w.len() > 0 {
				jobs = append(jobs, p.job(ps, h, w))
			}
		}
	}
	return jobs
}

// cost estimates a job list's time for one image and block of channels.
func cost(jobs []gradJob) (sum float64) {
	for _, j := range jobs {
		for _, r := range j.rows[0] {
			sum += gradCall + float64(j.runs*j.count)*max(4.2, float64(r.n))
		}
	}
	return sum
}

// job lists the pixels h × w, in runs along the longer axis, and the rows of
// their taps.
func (p *gradPlan) job(ps *convPass, h, w convSpan) gradJob {
	pixel, line := 4*p.c, 4*p.w*p.c
	j := gradJob{runs: h.len(), count: w.len(), xStep: p.Stride * pixel, dyStep: 4 * p.k}
	down := h.len() > w.len()
	if down {
		j = gradJob{runs: w.len(), count: h.len(), xStep: p.Stride * line, dyStep: 4 * p.ow * p.k}
	}
	for g := range p.group {
		for i := range j.runs {
			r, c := h.lo+i, w.lo
			if down {
				r, c = h.lo, w.lo+i
			}
			x := (g*p.h+ps.h.in(r, h.t0))*line + ps.w.in(c, w.t0)*pixel
			dy := 4 * ((g*p.oh+r)*p.ow + c) * p.k
			j.tab = append(j.tab, int32(x), int32(dy))
		}
	}
	var all []gradRow
	for t := h.t0; t < h.t1; t++ {
		for u := w.t0; u < w.t1; u++ {
			for c := range p.cg {
				all = append(all, gradRow{
					x: (t-h.t0)*line + (u-w.t0)*pixel + 4*c,
					w: 4 * ((t*p.kw+u)*p.cg + c) * p.k,
				})
			}
		}
	}
	j.rows = [2][]gradRows{tileRows(all, 6), tileRows(all, 8)}
	return j
}

type gradRow struct{ x, w int }

// tileRows cuts rows into tiles.
func tileRows(all []gradRow, most int) (tiles []gradRows) {
	even(len(all), most, func(lo, hi int) {
		t := gradRows{n: hi - lo}
		for i, r := range all[lo:hi] {
			t.x[i], t.w[i] = int32(r.x), int32(r.w)
		}
		tiles = append(tiles, t)
	})
	return tiles
}

// run adds the gradient of images [lo, hi) to dw.
func (p *gradPlan) run(x, dy, dw []float32, lo, hi int) {
	xImage, dyImage := p.h*p.w*p.c, p.oh*p.ow*p.k
	for i := lo; i < hi; i += p.group {
		n := min(p.group, hi-i)
		for _, band := range p.bands {
			for b := range p.blocks {
				p.block(band, &p.blocks[b], x[i*xImage:], dy[i*dyImage:], dw, n)
			}
		}
	}
}

func (p *gradPlan) block(jobs []gradJob, b *convBlock, x, dy, dw []float32, n int) {
	a := convGradArgs{x: addr(x, b.in), dy: addr(dy, b.out), dw: addr(dw, b.out), mask: convMask(min(b.n, 8)), flags: convAdd}
	if b.n < 8 {
		a.flags |= convMasked
	}
	for i := range jobs {
		j := &jobs[i]
		rows := j.rows[0]
		if b.width == 8 {
			rows = j.rows[1]
		}
		a.count, a.xStep, a.dyStep = j.count, j.xStep, j.dyStep
		for r := range rows {
			a.n, a.rows = rows[r].n, addr(rows[r].x[:], 0)
			a.tab, a.segs = addr(j.tab, 0), n*j.runs
			p.kernel(b.width, &a)
		}
	}
}

func (p *gradPlan) kernel(width int, a *convGradArgs) {
	depthwise := p.depthwise()
	switch {
	case depthwise && width == 16:
		convGradDepth16(a)
	case depthwise:
		convGradDepth8(a)
	case width == 16:
		convGrad16(a)
	default:
		convGrad8(a)
	}
}

func (l *lowering) convWeight(o *kernels.ConvWeight) []stage {
	g := windowOf(o.X, o.DW, o.DY, o.Conv)
	if !g.fits() {
		return nil
	}
	p := newGradPlan(g)
	x, dy, dw := l.ref(o.X), l.ref(o.DY), l.ref(o.DW)
	size, parts := o.DW.Len(), batchParts(g.n)
	tmp := l.temp("conv-weight sums", size*parts)
	sums := l.ref(tmp)
	return []stage{{
		name: "conv-weight", reads: []*kernels.Tensor{o.X, o.DY}, writes: []*kernels.Tensor{tmp},
		images: g.n, bytes: 4 * (g.h*g.w*g.c + g.oh*g.ow*g.k),
		batch: func(_ *worker, part, lo, hi int) {
			sum := sums.f[part*size:][:size]
			if first, _ := partRange(g.n, part); lo == first {
				clear(sum)
			}
			p.run(x.f, dy.f, sum, lo, hi)
		},
	}, foldStage("conv-weight fold", tmp, sums, o.DW, dw, parts, o.Acc)}
}

// foldStage adds the parts of sums in order into dst, on top of it with acc.
func foldStage(name string, tmp *kernels.Tensor, sums *ref, out *kernels.Tensor, dst *ref, parts int, acc bool) stage {
	size := out.Len()
	cuts := max(1, min(16, size/8192))
	reads := []*kernels.Tensor{tmp}
	if acc {
		reads = append(reads, out)
	}
	return stage{
		name: name, reads: reads, writes: []*kernels.Tensor{out}, parts: cuts,
		run: func(_ *worker, cut int) {
			lo, hi := cut*size/cuts, (cut+1)*size/cuts
			for ; lo < hi; lo += 2048 {
				d := dst.f[lo:min(lo+2048, hi)]
				if !acc {
					copy(d, sums.f[lo:])
				}
				for p := range parts {
					if p > 0 || acc {
						vec.AddTo(d, sums.f[p*size+lo:][:len(d)])
					}
				}
			}
		},
	}
}
