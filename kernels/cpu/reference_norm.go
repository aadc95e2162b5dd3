package cpu

import (
	"math"

	"github.com/espalier-ml/espalier/kernels"
)

// refBatchNorm: mean, then variance around the mean, then the output, for a
// few channels at a time.
func (l *lowering) refBatchNorm(o *kernels.BatchNorm) []stage {
	x, gamma, beta, res := l.ref(o.X), l.ref(o.Gamma), l.ref(o.Beta), l.ref(o.Residual)
	y, mean, vari, inv := l.ref(o.Y), l.ref(o.Mean), l.ref(o.Var), l.ref(o.InvStd)
	n, c := o.X.Rows(), o.X.Dim(-1)
	act := reluIf(o.ReLU)
	channel := func(j int) {
		var sum, squares float64
		for i := j; i < n*c; i += c {
			sum += float64(x.f[i])
		}
		mu := sum / float64(n)
		for i := j; i < n*c; i += c {
			d := float64(x.f[i]) - mu
			squares += d * d
		}
		v := squares / float64(n)
		is := 1 / math.Sqrt(v+float64(o.Eps))
		mean.f[j], vari.f[j], inv.f[j] = float32(mu), float32(v), float32(is)
		for i := j; i < n*c; i += c {
			y.f[i] = float32(activate(act, float64(gamma.f[j])*(float64(x.f[i])-mu)*is+float64(beta.f[j])+at(res.f, i)))
		}
	}
	return []stage{columns("batchnorm", c, func(w *worker, lo, hi int) {
		for j := lo; j < hi; j++ {
			channel(j)
		}
	})}
}

func (l *lowering) refBatchNormInfer(o *kernels.BatchNormInfer) []stage {
	x, gamma, beta, res := l.ref(o.X), l.ref(o.Gamma), l.ref(o.Beta), l.ref(o.Residual)
	y, mean, vari := l.ref(o.Y), l.ref(o.Mean), l.ref(o.Var)
	c := o.X.Dim(-1)
	act := reluIf(o.ReLU)
	return []stage{elements("batchnorm-infer", o.X.Len(), func(w *worker, lo, hi int) {
		for i := lo; i < hi; i++ {
			j := i % c
			is := 1 / math.Sqrt(float64(vari.f[j])+float64(o.Eps))
			v := float64(gamma.f[j])*(float64(x.f[i])-float64(mean.f[j]))*is + float64(beta.f[j]) + at(res.f, i)
			y.f[i] = float32(activate(act, v))
		}
	})}
}

// refBatchNormGrad: with g the gradient behind the ReLU and x̂ the normalised
// input, DBeta = Σg, DGamma = Σg·x̂, DX = γ/σ·(g - DBeta/n - x̂·DGamma/n).
func (l *lowering) refBatchNormGrad(o *kernels.BatchNormGrad) []stage {
	x, y, dy, gamma := l.ref(o.X), l.ref(o.Y), l.ref(o.DY), l.ref(o.Gamma)
	mean, inv := l.ref(o.Mean), l.ref(o.InvStd)
	dx, dgamma, dbeta, dres := l.ref(o.DX), l.ref(o.DGamma), l.ref(o.DBeta), l.ref(o.DResidual)
	n, c := o.X.Rows(), o.X.Dim(-1)
	grad := func(i int) float64 {
		if o.ReLU && y.f[i] <= 0 {
			return 0
		}
		return float64(dy.f[i])
	}
	channel := func(j int) {
		mu, is := float64(mean.f[j]), float64(inv.f[j])
		var sum, sumX float64
		for i := j; i < n*c; i += c {
			g := grad(i)
			sum += g
			sumX += g * (float64(x.f[i]) - mu) * is
		}
		dbeta.f[j], dgamma.f[j] = float32(sum), float32(sumX)
		sum, sumX = sum/float64(n), sumX/float64(n)
		for i := j; i < n*c; i += c {
			g := grad(i)
			dx.f[i] = float32(float64(gamma.f[j]) * is * (g - sum - (float64(x.f[i])-mu)*is*sumX))
			if dres.f != nil {
				put(&dres.f[i], g, o.AccResidual)
			}
		}
	}
	return []stage{columns("batchnorm-grad", c, func(w *worker, lo, hi int) {
		for j := lo; j < hi; j++ {
			channel(j)
		}
	})}
}

func reluIf(on bool) kernels.Act {
	if on {
		return kernels.ReLU
	}
	return kernels.NoAct
}
