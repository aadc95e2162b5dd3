package cpu

import "github.com/espalier-ml/espalier/kernels"

// The gradient of batch normalisation needs Σd and Σd·(x-μ) of all images, d
// being the gradient behind the ReLU, before it can give
//
//	dx = a·d + b·(x-μ) + c,  a = γ/σ,  b = -a·Σd·(x-μ)/(n·σ²),  c = -a·Σd/n
//
// (Ioffe and Szegedy, arXiv 1502.03167, section 3, collected).

func lowerBatchNormGrad(l *lowering, o *kernels.BatchNormGrad) []stage {
	s := newBNShape(o.X)
	sums := l.temp("batch norm gradient sums", batchParts(s.images)*s.pairSize())
	coef := l.temp("batch norm gradient coefficients", 4*s.tile)
	return []stage{bnGradReduce(l, s, o, sums), bnGradFinish(l, s, o, sums, coef), bnGradTransform(l, s, o, coef)}
}

// bnGradSource is where the gradient behind the ReLU comes from: dy where y
// is positive, or memory that already holds it.
type bnGradSource struct {
	dy, y *ref
	relu  bool
}

func (g *bnGradSource) at(lo, hi int) (dy, y *float32) {
	if g.relu {
		y = ptr(g.y.f[lo:hi])
	}
	return ptr(g.dy.f[lo:hi]), y
}

// bnGradKernel adds the sums of 2·groups or groups rows.
type bnGradKernel func(sum, dot, mean, x, dy, y, res *float32, width, groups int)

// bnGradKernels by rows at a time, ReLU, and no residual, one that is
// overwritten, one that is added to.
var bnGradKernels = [2][2][3]bnGradKernel{
	{{bnGradSums1, bnGradSums1Res, bnGradSums1ResAcc}, {bnGradSums1ReLU, bnGradSums1ReLURes, bnGradSums1ReLUResAcc}},
	{{bnGradSums2, bnGradSums2Res, bnGradSums2ResAcc}, {bnGradSums2ReLU, bnGradSums2ReLURes, bnGradSums2ReLUResAcc}},
}

func bnGradReduce(l *lowering, s bnShape, o *kernels.BatchNormGrad, sums *kernels.Tensor) stage {
	r := bnGradSummer{shape: s, src: bnGradSource{l.ref(o.DY), l.ref(o.Y), o.ReLU}, x: l.ref(o.X), res: l.ref(o.DResidual)}
	mr, sr := l.ref(o.Mean), l.ref(sums)
	reads, streams := given(o.X, o.DY, o.Mean), 2
	relu, residual := 0, 0
	if o.ReLU {
		reads, streams, relu = append(reads, o.Y), streams+1, 1
	}
	if o.DResidual != nil {
		streams, residual = streams+1, 1
		if o.AccResidual {
			reads, residual = append(reads, o.DResidual), 2
		}
	}
	r.one, r.two = bnGradKernels[0][relu][residual], bnGradKernels[1][relu][residual]
	l.local(3 * s.sum)
	return stage{
		name: "batch norm gradient sums", reads: reads, writes: given(sums, o.DResidual),
		images: s.images, bytes: 4 * streams * s.per,
		batch: func(w *worker, part, lo, hi int) {
			p, scratch := s.pair(sr.f, part), w.floats(3*s.sum)
			sum, dot, mean := scratch[:s.sum], scratch[s.sum:2*s.sum], scratch[2*s.sum:]
			clear(scratch[:2*s.sum])
			repeat(mean, mr.f)
			if a, _ := partRange(s.images, part); lo == a {
				clear(p.first)
				clear(p.second)
			}
			for i, end := lo*s.per, hi*s.per; i < end; i += s.sumBlock() {
				r.rows(sum, dot, mean, i, min(end, i+s.sumBlock()))
				addWide(ptr64(p.first), ptr(sum), s.sum)
				addWide(ptr64(p.second), ptr(dot), s.sum)
			}
		},
	}
}

type bnGradSummer struct {
	shape    bnShape
	src      bnGradSource
	x, res   *ref
	one, two bnGradKernel
}

// rows sums elements [lo, hi), the last row may be shorter.
func (r *bnGradSummer) rows(sum, dot, mean []float32, lo, hi int) {
	width := r.shape.sum
	if g := (hi - lo) / (2 * width); g > 0 {
		r.call(r.two, sum, dot, mean, lo, lo+2*g*width, width, g)
		lo += 2 * g * width
	}
	if hi-lo >= width {
		r.call(r.one, sum, dot, mean, lo, lo+width, width, 1)
		lo += width
	}
	if lo < hi {
		r.call(r.one, sum, dot, mean, lo, hi, hi-lo, 1)
	}
}

func (r *bnGradSummer) call(f bnGradKernel, sum, dot, mean []float32, lo, hi, width, groups int) {
	dy, y := r.src.at(lo, hi)
	var res *float32
	if r.res.t != nil {
		res = ptr(r.res.f[lo:hi])
	}
	f(ptr(sum), ptr(dot), ptr(mean), ptr(r.x.f[lo:hi]), dy, y, res, width, groups)
}

func bnGradFinish(l *lowering, s bnShape, o *kernels.BatchNormGrad, sums, coef *kernels.Tensor) stage {
	sr, cr := l.ref(sums), l.ref(coef)
	gamma, mean, inv := l.ref(o.Gamma), l.ref(o.Mean), l.ref(o.InvStd)
	dgamma, dbeta := l.ref(o.DGamma), l.ref(o.DBeta)
	n := float64(s.images * s.per / s.c)
	return stage{
		name:  "batch norm gradient coefficients",
		reads: given(sums, o.Gamma, o.Mean, o.InvStd), writes: given(coef, o.DGamma, o.DBeta),
		parts: s.channelParts(),
		run: func(_ *worker, part int) {
			tiles := [4][]float32{}
			for i := range tiles {
				tiles[i] = cr.f[i*s.tile : (i+1)*s.tile]
			}
			lo, hi := s.channels(part)
			for ch := lo; ch < hi; ch++ {
				var sum, dot float64
				for p := range batchParts(s.images) {
					a, b := s.totals(s.pair(sr.f, p), ch)
					sum, dot = sum+a, dot+b
				}
				r := float64(inv.f[ch])
				dgamma.f[ch], dbeta.f[ch] = float32(dot*r), float32(sum)
				a := float64(gamma.f[ch]) * r
				s.spread(tiles[0], ch, mean.f[ch])
				s.spread(tiles[1], ch, float32(a))
				s.spread(tiles[2], ch, float32(-a*r*r*dot/n))
				s.spread(tiles[3], ch, float32(-a*sum/n))
			}
		},
	}
}

func bnGradTransform(l *lowering, s bnShape, o *kernels.BatchNormGrad, coef *kernels.Tensor) stage {
	src := bnGradSource{l.ref(o.DY), l.ref(o.Y), o.ReLU}
	reads := given(o.X, o.DY, coef)
	switch {
	case o.DResidual != nil && !o.AccResidual: // it is the gradient behind the ReLU
		src = bnGradSource{dy: l.ref(o.DResidual)}
		reads[1] = o.DResidual
	case o.ReLU:
		reads = append(reads, o.Y)
	}
	kernel := bnGradApply
	if src.relu {
		kernel = bnGradApplyReLU
	}
	xr, cr, dx := l.ref(o.X), l.ref(coef), l.ref(o.DX)
	return stage{
		name: "batch norm gradient", reads: reads, writes: given(o.DX),
		images: s.images, bytes: 4 * len(reads) * s.per,
		batch: func(_ *worker, _, lo, hi int) {
			t := s.tile
			mean, a, b, c := ptr(cr.f), ptr(cr.f[t:]), ptr(cr.f[2*t:]), ptr(cr.f[3*t:])
			end := hi * s.per
			for i := lo * s.per; i < end; i += t {
				n := min(t, end-i)
				dy, y := src.at(i, i+n)
				kernel(ptr(dx.f[i:i+n]), dy, ptr(xr.f[i:i+n]), mean, a, b, c, y, n)
			}
		},
	}
}
