package cpu

import (
	"math"

	"github.com/espalier-ml/espalier/kernels"
)

// Batch normalisation runs in two passes over the images. The first sums
// x-k and (x-k)² for each part, k near the part's mean, so that a large mean
// does not cancel; the parts are merged as in Chan, Golub and LeVeque,
// "Updating formulae and a pairwise algorithm for computing sample variances"
// (1979). The second computes y = x·scale + shift.

func lowerBatchNorm(l *lowering, o *kernels.BatchNorm) []stage {
	s := newBNShape(o.X)
	sums := l.temp("batch norm sums", batchParts(s.images)*s.pairSize())
	coef := l.temp("batch norm coefficients", 2*s.tile)
	return []stage{
		bnMoments(l, s, o.X, sums),
		bnFinish(l, s, o, sums, coef),
		bnTransform(l, s, o.X, coef, o.Residual, o.Y, o.ReLU),
	}
}

func bnMoments(l *lowering, s bnShape, x, sums *kernels.Tensor) stage {
	xr, sr := l.ref(x), l.ref(sums)
	l.local(2 * s.sum)
	return stage{
		name: "batch norm moments", reads: given(x), writes: given(sums),
		images: s.images, bytes: 4 * s.per,
		batch: func(w *worker, part, lo, hi int) {
			x, p := xr.f[lo*s.per:hi*s.per], s.pair(sr.f, part)
			scratch := w.floats(2 * s.sum)
			clear(scratch)
			if a, _ := partRange(s.images, part); lo == a {
				clear(p.first)
				clear(p.second)
				bnGuess(s, p.shift, x[:min(s.per, max(s.sum, 4096/s.c*s.c))], scratch[:s.sum])
			}
			for len(x) > 0 {
				n := min(len(x), s.sumBlock())
				moments(scratch[:s.sum], scratch[s.sum:], p.shift, x[:n])
				addWide(ptr64(p.first), ptr(scratch), s.sum)
				addWide(ptr64(p.second), ptr(scratch[s.sum:]), s.sum)
				x = x[n:]
			}
		},
	}
}

// bnGuess sets shift to the channels' means over some pixels. The mean of a
// share of the values is never further from the mean of all than the standard
// deviation over the root of the share.
func bnGuess(s bnShape, shift, x, sum []float32) {
	sumOfRows(sum, x)
	for ch := range s.c {
		var t float64
		for i := ch; i < s.sum; i += s.c {
			t += float64(sum[i])
		}
		k := float32(t / float64(len(x)/s.c))
		for i := ch; i < s.sum; i += s.c {
			shift[i] = k
		}
	}
	clear(sum)
}

// sumOfRows adds x, seen as rows as wide as sum, to sum; the last row may be
// shorter.
func sumOfRows(sum, x []float32) {
	n := len(sum)
	if g := len(x) / (4 * n); g > 0 {
		rowSums4(ptr(sum), ptr(x), n, g)
		x = x[4*n*g:]
	}
	if g := len(x) / n; g > 0 {
		rowSums1(ptr(sum), ptr(x), n, g)
		x = x[n*g:]
	}
	if len(x) > 0 {
		rowSums1(ptr(sum), ptr(x), len(x), 1)
	}
}

// moments adds x-shift and (x-shift)² like sumOfRows.
func moments(sum, square, shift, x []float32) {
	n := len(sum)
	if g := len(x) / (4 * n); g > 0 {
		rowMoments4(ptr(sum), ptr(square), ptr(shift), ptr(x), n, g)
		x = x[4*n*g:]
	}
	if g := len(x) / n; g > 0 {
		rowMoments1(ptr(sum), ptr(square), ptr(shift), ptr(x), n, g)
		x = x[n*g:]
	}
	if len(x) > 0 {
		rowMoments1(ptr(sum), ptr(square), ptr(shift), ptr(x), len(x), 1)
	}
}

func bnFinish(l *lowering, s bnShape, o *kernels.BatchNorm, sums, coef *kernels.Tensor) stage {
	sr, cr := l.ref(sums), l.ref(coef)
	gamma, beta := l.ref(o.Gamma), l.ref(o.Beta)
	mean, variance, inv := l.ref(o.Mean), l.ref(o.Var), l.ref(o.InvStd)
	return stage{
		name:  "batch norm statistics",
		reads: given(sums, o.Gamma, o.Beta), writes: given(coef, o.Mean, o.Var, o.InvStd),
		parts: s.channelParts(),
		run: func(_ *worker, part int) {
			scale, shift := cr.f[:s.tile], cr.f[s.tile:]
			lo, hi := s.channels(part)
			var m, v [bnChannels]float64
			bnMerge(s, sr.f, lo, m[:hi-lo], v[:hi-lo])
			for ch := lo; ch < hi; ch++ {
				m, v := m[ch-lo], v[ch-lo]
				r := 1 / math.Sqrt(v+float64(o.Eps))
				mean.f[ch], variance.f[ch], inv.f[ch] = float32(m), float32(v), float32(r)
				a := float32(float64(gamma.f[ch]) * r)
				s.spread(scale, ch, a)
				s.spread(shift, ch, float32(float64(beta.f[ch])-m*float64(a)))
			}
		},
	}
}

// bnMerge forms mean and biased variance of the channels from lo on, part by
// part.
func bnMerge(s bnShape, mem []float32, lo int, mean, variance []float64) {
	variance = variance[:len(mean)]
	n := 0.0
	for part := range batchParts(s.images) {
		p, k := s.pair(mem, part), s.pixels(part)
		all := n + k
		each, share, both := 1/k, k/all, n*k/all
		for i := range mean {
			sum, square := s.totals(p, lo+i)
			delta := float64(p.shift[lo+i]) + sum*each - mean[i]
			variance[i] += square - sum*sum*each + delta*delta*both
			mean[i] += delta * share
		}
		n = all
	}
	for i := range variance {
		variance[i] = max(variance[i]/n, 0)
	}
}

func bnTransform(l *lowering, s bnShape, x, coef, residual, y *kernels.Tensor, relu bool) stage {
	streams, kernel := 2, bnApply
	switch {
	case residual != nil && relu:
		streams, kernel = 3, bnApplyResReLU
	case residual != nil:
		streams, kernel = 3, bnApplyRes
	case relu:
		kernel = bnApplyReLU
	}
	xr, cr, rr, yr := l.ref(x), l.ref(coef), l.ref(residual), l.ref(y)
	return stage{
		name: "batch norm transform", reads: given(x, coef, residual), writes: given(y),
		images: s.images, bytes: 4 * streams * s.per,
		batch: func(_ *worker, _, lo, hi int) {
			scale, shift := ptr(cr.f), ptr(cr.f[s.tile:])
			end := hi * s.per
			for i := lo * s.per; i < end; i += s.tile {
				n := min(s.tile, end-i)
				var res *float32
				if residual != nil {
					res = ptr(rr.f[i : i+n])
				}
				kernel(ptr(yr.f[i:i+n]), ptr(xr.f[i:i+n]), scale, shift, res, n)
			}
		},
	}
}

func lowerBatchNormInfer(l *lowering, o *kernels.BatchNormInfer) []stage {
	s := newBNShape(o.X)
	coef := l.temp("batch norm coefficients", 2*s.tile)
	cr, gamma, beta, mean, variance := l.ref(coef), l.ref(o.Gamma), l.ref(o.Beta), l.ref(o.Mean), l.ref(o.Var)
	return []stage{{
		name:  "batch norm coefficients",
		reads: given(o.Gamma, o.Beta, o.Mean, o.Var), writes: given(coef),
		parts: s.channelParts(),
		run: func(_ *worker, part int) {
			lo, hi := s.channels(part)
			for ch := lo; ch < hi; ch++ {
				a := float32(float64(gamma.f[ch]) / math.Sqrt(float64(variance.f[ch])+float64(o.Eps)))
				s.spread(cr.f[:s.tile], ch, a)
				s.spread(cr.f[s.tile:], ch, float32(float64(beta.f[ch])-float64(mean.f[ch])*float64(a)))
			}
		},
	}, bnTransform(l, s, o.X, coef, o.Residual, o.Y, o.ReLU)}
}
