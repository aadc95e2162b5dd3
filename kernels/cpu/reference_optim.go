package cpu

import "github.com/espalier-ml/espalier/kernels"

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
