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

// refLayerNorm treats RMS normalisation as the case of mean 0.
func (l *lowering) refLayerNorm(o *kernels.LayerNorm) []stage {
	x, gamma, beta := l.ref(o.X), l.ref(o.Gamma), l.ref(o.Beta)
	y, mean, inv := l.ref(o.Y), l.ref(o.Mean), l.ref(o.InvStd)
	c := o.X.Dim(-1)
	row := func(r int) {
		x := x.f[r*c:][:c]
		var mu, squares float64
		for _, v := range x {
			mu += float64(v) / float64(c)
		}
		if o.RMS {
			mu = 0
		}
		for _, v := range x {
			squares += (float64(v) - mu) * (float64(v) - mu)
		}
		is := 1 / math.Sqrt(squares/float64(c)+float64(o.Eps))
		if mean.f != nil {
			mean.f[r] = float32(mu)
		}
		inv.f[r] = float32(is)
		for j, v := range x {
			y.f[r*c+j] = float32(float64(gamma.f[j])*(float64(v)-mu)*is + at(beta.f, j))
		}
	}
	return []stage{rows("layernorm", o.X.Rows(), func(w *worker, lo, hi int) {
		for r := lo; r < hi; r++ {
			row(r)
		}
	})}
}

// refLayerNormGrad: with g = γ·DY and x̂ the normalised input,
// DX = (g - mean(g) - x̂·mean(g·x̂))/σ, without the middle term for RMS;
// DGamma = Σ DY·x̂ and DBeta = Σ DY over the rows.
func (l *lowering) refLayerNormGrad(o *kernels.LayerNormGrad) []stage {
	x, dy, gamma := l.ref(o.X), l.ref(o.DY), l.ref(o.Gamma)
	mean, inv := l.ref(o.Mean), l.ref(o.InvStd)
	dx, dgamma, dbeta := l.ref(o.DX), l.ref(o.DGamma), l.ref(o.DBeta)
	n, c := o.X.Rows(), o.X.Dim(-1)
	normal := func(r, j int) float64 {
		return (float64(x.f[r*c+j]) - at(mean.f, r)) * float64(inv.f[r])
	}
	row := func(r int) {
		var sum, sumX float64
		for j := range c {
			g := float64(gamma.f[j]) * float64(dy.f[r*c+j])
			sum += g / float64(c)
			sumX += g * normal(r, j) / float64(c)
		}
		if o.RMS {
			sum = 0
		}
		for j := range c {
			g := float64(gamma.f[j]) * float64(dy.f[r*c+j])
			put(&dx.f[r*c+j], (g-sum-normal(r, j)*sumX)*float64(inv.f[r]), o.Acc)
		}
	}
	column := func(j int) {
		var sum, sumX float64
		for r := range n {
			sum += float64(dy.f[r*c+j])
			sumX += float64(dy.f[r*c+j]) * normal(r, j)
		}
		dgamma.f[j] = float32(sumX)
		if dbeta.f != nil {
			dbeta.f[j] = float32(sum)
		}
	}
	in := []*kernels.Tensor{o.X, o.DY, o.Gamma, o.InvStd}
	if o.Mean != nil {
		in = append(in, o.Mean)
	}
	toX := rows("layernorm-input", n, func(w *worker, lo, hi int) {
		for r := lo; r < hi; r++ {
			row(r)
		}
	})
	toX.reads, toX.writes = in, []*kernels.Tensor{o.DX}
	toGamma := columns("layernorm-gamma", c, func(w *worker, lo, hi int) {
		for j := lo; j < hi; j++ {
			column(j)
		}
	})
	toGamma.reads, toGamma.writes = in, []*kernels.Tensor{o.DGamma}
	if o.DBeta != nil {
		toGamma.writes = append(toGamma.writes, o.DBeta)
	}
	return []stage{toX, toGamma}
}

func reluIf(on bool) kernels.Act {
	if on {
		return kernels.ReLU
	}
	return kernels.NoAct
}
