package cpu

import "github.com/espalier-ml/espalier/kernels"

// lnShape is a tensor as images of `rows` rows of c numbers.
type lnShape struct{ images, rows, c int }

func newLNShape(x *kernels.Tensor) lnShape {
	if len(x.Shape) == 1 {
		return lnShape{1, 1, x.Len()}
	}
	return lnShape{x.Shape[0], x.Rows() / max(1, x.Shape[0]), x.Dim(-1)}
}

// lnBlock is the number of rows after which float32 sums are moved to float64.
const lnBlock = 256

func lowerLayerNorm(l *lowering, o *kernels.LayerNorm) []stage {
	s := newLNShape(o.X)
	x, gamma, beta, y := l.ref(o.X), l.ref(o.Gamma), l.ref(o.Beta), l.ref(o.Y)
	mean, inv := l.ref(o.Mean), l.ref(o.InvStd)
	fence, done := l.whole(given(o.Gamma, o.Beta)...)
	return []stage{fence, {
		name: "layer norm", reads: given(o.X, o.Gamma, o.Beta, done), writes: given(o.Y, o.Mean, o.InvStd),
		images: s.images, bytes: 8 * s.rows * s.c,
		batch: func(_ *worker, _, lo, hi int) {
			a, b := lo*s.rows, hi*s.rows
			x, y, inv := ptr(x.f[a*s.c:b*s.c]), ptr(y.f[a*s.c:b*s.c]), ptr(inv.f[a:b])
			if o.RMS {
				rmsNormRows(y, x, ptr(gamma.f), nil, nil, inv, s.c, b-a, o.Eps, 1/float32(s.c))
				return
			}
			layerNormRows(y, x, ptr(gamma.f), ptr(beta.f), ptr(mean.f[a:b]), inv, s.c, b-a, o.Eps, 1/float32(s.c))
		},
	}}
}

// lnGradKernel adds to dgamma and, but for RMS, dbeta.
type lnGradKernel func(dx, dy, x, gamma, mean, inv, dgamma, dbeta *float32, width, rows int, share float32)

func lowerLayerNormGrad(l *lowering, o *kernels.LayerNormGrad) []stage {
	s := newLNShape(o.X)
	kernel := map[[2]bool]lnGradKernel{
		{false, false}: layerNormGradRows, {false, true}: layerNormGradRowsAcc,
		{true, false}: rmsNormGradRows, {true, true}: rmsNormGradRowsAcc,
	}[[2]bool{o.RMS, o.Acc}]
	sums := l.temp("layer norm gradient sums", batchParts(s.images)*lnSize(s))
	fence, done := l.whole(o.Gamma)
	x, dy, gamma, dx := l.ref(o.X), l.ref(o.DY), l.ref(o.Gamma), l.ref(o.DX)
	mean, inv, sr := l.ref(o.Mean), l.ref(o.InvStd), l.ref(sums)
	reads := given(o.X, o.DY, o.Gamma, o.InvStd, o.Mean, done)
	if o.Acc {
		reads = append(reads, o.DX)
	}
	l.local(2 * s.c)
	return []stage{fence, {
		name: "layer norm gradient", reads: reads, writes: given(o.DX, sums),
		images: s.images, bytes: 12 * s.rows * s.c,
		batch: func(w *worker, part, lo, hi int) {
			mem := wide(sr.f[part*lnSize(s):][:4*s.c])
			if a, _ := partRange(s.images, part); lo == a {
				clear(mem)
			}
			dgamma, dbeta := w.floats(2 * s.c)[:s.c], w.floats(2 * s.c)[s.c:]
			clear(w.floats(2 * s.c))
			for a, end := lo*s.rows, hi*s.rows; a < end; a += lnBlock {
				b := min(end, a+lnBlock)
				i, j := a*s.c, b*s.c
				var mu *float32
				if !o.RMS {
					mu = ptr(mean.f[a:b])
				}
				kernel(ptr(dx.f[i:j]), ptr(dy.f[i:j]), ptr(x.f[i:j]), ptr(gamma.f), mu, ptr(inv.f[a:b]),
					ptr(dgamma), ptr(dbeta), s.c, b-a, 1/float32(s.c))
				addWide(ptr64(mem), ptr(dgamma), s.c)
				addWide(ptr64(mem[s.c:]), ptr(dbeta), s.c)
			}
		},
	}, lnFold(l, s, o, sums)}
}

func lnSize(s lnShape) int { return (4*s.c + 15) &^ 15 }

func lnFold(l *lowering, s lnShape, o *kernels.LayerNormGrad, sums *kernels.Tensor) stage {
	sr, dgamma, dbeta := l.ref(sums), l.ref(o.DGamma), l.ref(o.DBeta)
	st := bySize("layer norm gradient fold", s.c, 1, func(_ *worker, lo, hi int) {
		for j := lo; j < hi; j++ {
			var g, b float64
			for part := range batchParts(s.images) {
				mem := wide(sr.f[part*lnSize(s):][:4*s.c])
				g, b = g+mem[j], b+mem[s.c+j]
			}
			dgamma.f[j] = float32(g)
			if o.DBeta != nil {
				dbeta.f[j] = float32(b)
			}
		}
	})
	st.reads, st.writes = given(sums), given(o.DGamma, o.DBeta)
	return st
}
