package cpu

import (
	"math"

	"github.com/espalier-ml/espalier/kernels"
)

func (l *lowering) refAvaGrad(o *kernels.AvaGrad) []stage {
	w, g, m, v, gamma := l.ref(o.W), l.ref(o.G), l.ref(o.M), l.ref(o.V), l.ref(o.Gamma)
	rates, corr1, corr2, next := l.ref(o.Rates), l.ref(o.Corr1), l.ref(o.Corr2), l.ref(o.Next)
	beta1, beta2, eps := float64(o.Beta1), float64(o.Beta2), float64(o.Eps)
	entry := func(env *kernels.Env, i, b int) {
		weight, grad := float64(w.f[i]), float64(env.GradFactor)*float64(g.f[i])
		decay := float64(o.Decay) * float64(env.WeightDecay) * weight
		if !o.Decoupled {
			grad += decay
			decay = 0
		}
		move := beta1*float64(m.f[i]) + (1-beta1)*grad
		old := float64(v.f[i])
		m.f[i], v.f[i] = float32(move), float32(beta2*old+(1-beta2)*grad*grad)
		size := float64(env.Rate) * float64(rates.f[b])
		scale := size * float64(corr1.f[b])
		if gamma.f != nil {
			scale *= float64(gamma.f[0])
		}
		w.f[i] = float32(weight - size*decay - scale*move/(float64(corr2.f[b])*math.Sqrt(old)+eps))
	}
	if o.Squares == nil {
		return []stage{elements("avagrad", o.W.Len(), func(w *worker, lo, hi int) {
			for i := lo; i < hi; i++ {
				entry(w.env, i, blockOf(&o.Blocks, i))
			}
		})}
	}
	return l.refBlockSums("avagrad", &o.Blocks, o.Inputs(), []*kernels.Tensor{o.W, o.M, o.V}, o.Squares,
		func(env *kernels.Env, i, b int) float64 {
			rate := 1 / (float64(next.f[b])*math.Sqrt(float64(v.f[i])) + eps)
			entry(env, i, b)
			return rate * rate
		})
}

func (l *lowering) refRateSquares(o *kernels.RateSquares) []stage {
	v, corr, eps := l.ref(o.V), l.ref(o.Corr), float64(o.Eps)
	return l.refBlockSums("rate-squares", &o.Blocks, o.Inputs(), nil, o.Out, func(_ *kernels.Env, i, b int) float64 {
		rate := 1 / (float64(corr.f[b])*math.Sqrt(float64(v.f[i])) + eps)
		return rate * rate
	})
}

// refBlockSums adds up a number of every entry by block: row by row, then the
// rows in order. out holds each sum as a pair.
func (l *lowering) refBlockSums(name string, blocks *kernels.Blocks, reads, writes []*kernels.Tensor, out *kernels.Tensor,
	entry func(env *kernels.Env, i, block int) float64) []stage {
	n := blocks.N
	partial := l.temp(name+" of rows", 2*n*blocks.Rows)
	p, to := l.ref(partial), l.ref(out)
	perRow := rows(name, blocks.Rows, func(w *worker, lo, hi int) {
		for r := lo; r < hi; r++ {
			sum := asDoubles(p.f[2*n*r:][:2*n])
			clear(sum)
			for i := r * blocks.Cols; i < (r+1)*blocks.Cols; i++ {
				b := blockOf(blocks, i)
				sum[b] += entry(w.env, i, b)
			}
		}
	})
	perRow.reads, perRow.writes = reads, append(writes, partial)
	fold := stage{name: name + "-fold", parts: 1, run: func(w *worker, _ int) {
		sums := asDoubles(p.f)
		for b := range n {
			total := 0.0
			for r := range blocks.Rows {
				total += sums[r*n+b]
			}
			putPair(to.f[2*b:], total)
		}
	}}
	fold.reads, fold.writes = []*kernels.Tensor{partial}, []*kernels.Tensor{out}
	return []stage{perRow, fold}
}

// putPair stores x as the sum of two numbers.
func putPair(to []float32, x float64) {
	to[0], to[1] = float32(x), 0
	if rest := x - float64(to[0]); !math.IsInf(rest, 0) {
		to[1] = float32(rest)
	}
}

func (l *lowering) refAdaBound(o *kernels.AdaBound) []stage {
	w, g, m, v, top := l.ref(o.W), l.ref(o.G), l.ref(o.M), l.ref(o.V), l.ref(o.Max)
	rates, beta1, scale, lower, upper := l.ref(o.Rates), l.ref(o.Beta1), l.ref(o.Scale), l.ref(o.Lower), l.ref(o.Upper)
	beta2, eps := float64(o.Beta2), float64(o.Eps)
	entry := func(env *kernels.Env, i int) {
		b := blockOf(&o.Blocks, i)
		weight, grad := float64(w.f[i]), float64(env.GradFactor)*float64(g.f[i])
		decay := float64(o.Decay) * float64(env.WeightDecay) * weight
		if !o.Decoupled {
			grad += decay
			decay = 0
		}
		beta := float64(beta1.f[b])
		move := beta*float64(m.f[i]) + (1-beta)*grad
		squares := beta2*float64(v.f[i]) + (1-beta2)*grad*grad
		m.f[i], v.f[i] = float32(move), float32(squares)
		if top.f != nil {
			squares = max(squares, float64(top.f[i]))
			top.f[i] = float32(squares)
		}
		rate := min(max(float64(scale.f[b])/(math.Sqrt(squares)+eps), float64(lower.f[b])), float64(upper.f[b]))
		weight -= decay + float64(env.Rate)*float64(rates.f[b])*rate*move
		if o.Box != [2]float32{} {
			weight = min(max(weight, float64(o.Box[0])), float64(o.Box[1]))
		}
		w.f[i] = float32(weight)
	}
	return []stage{elements("adabound", o.W.Len(), func(w *worker, lo, hi int) {
		for i := lo; i < hi; i++ {
			entry(w.env, i)
		}
	})}
}
