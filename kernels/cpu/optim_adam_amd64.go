package cpu

import "github.com/espalier-ml/espalier/kernels"

// adamRefs are the operands of one Adam op.
type adamRefs struct {
	o                   *kernels.Adam
	w, g, m, v          *ref
	rates, corr1, corr2 *ref
}

func lowerAdam(l *lowering, o *kernels.Adam) []stage {
	a := &adamRefs{o, l.ref(o.W), l.ref(o.G), l.ref(o.M), l.ref(o.V), l.ref(o.Rates), l.ref(o.Corr1), l.ref(o.Corr2)}
	if o.Blocks.N <= 1 {
		return []stage{bySize("adam", o.W.Len(), 16, func(w *worker, lo, hi int) {
			l2, decay := a.decays(w.env)
			adam(ptr(a.w.f[lo:hi]), ptr(a.g.f[lo:hi]), ptr(a.m.f[lo:hi]), ptr(a.v.f[lo:hi]), hi-lo,
				w.env.GradFactor, l2, decay, o.Beta1, rest(o.Beta1), o.Beta2, rest(o.Beta2), o.Eps,
				w.env.Rate*a.rates.f[0], a.corr1.f[0], a.corr2.f[0])
		})}
	}
	t := newBlockTiles(&o.Blocks, 3)
	mem := l.temp("adam block rates", t.size())
	mr := l.ref(mem)
	fill := t.stage(given(o.Rates, o.Corr1, o.Corr2), mem, mr, func(w *worker, b int32, k int) float32 {
		return [3]float32{w.env.Rate * a.rates.f[b], a.corr1.f[b], a.corr2.f[b]}[k]
	})
	cols := o.Blocks.Cols
	step := byRuns("adam", rowRuns(&o.Blocks, mostRows(cols)), cols, func(w *worker, run rowRun) {
		l2, decay := a.decays(w.env)
		place, end := t.at[run.block], run.hi*cols
		rate, c1, c2 := ptr(t.tile(mr.f, place, 0)), ptr(t.tile(mr.f, place, 1)), ptr(t.tile(mr.f, place, 2))
		for lo := run.lo * cols; lo < end; lo += t.width {
			hi := min(end, lo+t.width)
			adamColumns(ptr(a.w.f[lo:hi]), ptr(a.g.f[lo:hi]), ptr(a.m.f[lo:hi]), ptr(a.v.f[lo:hi]), rate, c1, c2, hi-lo,
				w.env.GradFactor, l2, decay, o.Beta1, rest(o.Beta1), o.Beta2, rest(o.Beta2), o.Eps)
		}
	})
	step.reads, step.writes = given(o.W, o.G, o.M, o.V, mem), given(o.W, o.M, o.V)
	return []stage{fill, step}
}

// decays returns the factors of the weights in the gradient and in the step.
func (a *adamRefs) decays(env *kernels.Env) (l2, decay float32) {
	d := a.o.Decay * env.WeightDecay
	if a.o.Decoupled {
		return 0, d
	}
	return d, 0
}

// rest is 1-beta, formed before it is rounded.
func rest(beta float32) float32 { return float32(1 - float64(beta)) }
