package cpu

import (
	"math"

	"github.com/espalier-ml/espalier/kernels"
)

// blockOf returns the block of entry i of a parameter: kernels.Blocks.
func blockOf(b *kernels.Blocks, i int) int {
	var row, col int32
	if b.RowBlock != nil {
		row = b.RowBlock[i/b.Cols]
	}
	if b.ColBlock != nil {
		col = b.ColBlock[i%b.Cols]
	}
	return int(max(row, col))
}

func (l *lowering) refSGD(o *kernels.SGD) []stage {
	w, g, m := l.ref(o.W), l.ref(o.G), l.ref(o.M)
	rates, first := l.ref(o.Rates), l.ref(o.FirstBlock)
	momentum, damp := float64(o.Momentum), float64(o.Dampening)
	entry := func(env *kernels.Env, i int) {
		b := blockOf(&o.Blocks, i)
		weight := float64(w.f[i])
		grad := float64(env.GradFactor)*float64(g.f[i]) + float64(o.Decay)*float64(env.WeightDecay)*weight
		step := grad
		if m.f != nil {
			move := momentum*float64(m.f[i]) + (1-damp)*grad
			if at(first.f, b) != 0 {
				move = grad
			}
			m.f[i] = float32(move)
			step = move
			if o.Nesterov {
				step = grad + momentum*move
			}
		}
		w.f[i] = float32(weight - float64(env.Rate)*float64(rates.f[b])*step)
	}
	return []stage{elements("sgd", o.W.Len(), func(w *worker, lo, hi int) {
		for i := lo; i < hi; i++ {
			entry(w.env, i)
		}
	})}
}

func (l *lowering) refAdam(o *kernels.Adam) []stage {
	w, g, m, v := l.ref(o.W), l.ref(o.G), l.ref(o.M), l.ref(o.V)
	rates, corr1, corr2 := l.ref(o.Rates), l.ref(o.Corr1), l.ref(o.Corr2)
	beta1, beta2, eps := float64(o.Beta1), float64(o.Beta2), float64(o.Eps)
	entry := func(env *kernels.Env, i int) {
		b := blockOf(&o.Blocks, i)
		weight, grad := float64(w.f[i]), float64(env.GradFactor)*float64(g.f[i])
		decay := float64(o.Decay) * float64(env.WeightDecay) * weight
		if !o.Decoupled {
			grad += decay
		}
		m1 := beta1*float64(m.f[i]) + (1-beta1)*grad
		v1 := beta2*float64(v.f[i]) + (1-beta2)*grad*grad
		m.f[i], v.f[i] = float32(m1), float32(v1)
		step := m1 * float64(corr1.f[b]) / (math.Sqrt(v1*float64(corr2.f[b])) + eps)
		if o.Decoupled {
			step += decay
		}
		w.f[i] = float32(weight - float64(env.Rate)*float64(rates.f[b])*step)
	}
	return []stage{elements("adam", o.W.Len(), func(w *worker, lo, hi int) {
		for i := lo; i < hi; i++ {
			entry(w.env, i)
		}
	})}
}

// refBlockSquares sums each row's squares by block, then adds up the rows.
func (l *lowering) refBlockSquares(o *kernels.BlockSquares) []stage {
	n := o.Blocks.N
	partial := l.temp("squares of rows", 2*n*o.Blocks.Rows)
	x, p, out := l.ref(o.W), l.ref(partial), l.ref(o.Out)
	perRow := rows("block-squares", o.Blocks.Rows, func(w *worker, lo, hi int) {
		for r := lo; r < hi; r++ {
			sum := asDoubles(p.f[2*n*r:][:2*n])
			clear(sum)
			for i := r * o.Blocks.Cols; i < (r+1)*o.Blocks.Cols; i++ {
				sum[blockOf(&o.Blocks, i)] += float64(x.f[i]) * float64(x.f[i])
			}
		}
	})
	perRow.reads, perRow.writes = []*kernels.Tensor{o.W}, []*kernels.Tensor{partial}
	fold := stage{name: "block-squares-fold", parts: 1, run: func(w *worker, _ int) {
		sums := asDoubles(p.f)
		for b := range n {
			total := 0.0
			for r := range o.Blocks.Rows {
				total += sums[r*n+b]
			}
			out.f[b] = float32(total)
		}
	}}
	fold.reads, fold.writes = []*kernels.Tensor{partial}, []*kernels.Tensor{o.Out}
	return []stage{perRow, fold}
}
