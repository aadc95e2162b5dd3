package cpu

import (
	"github.com/espalier-ml/espalier/kernels"
)

func lowerSGD(l *lowering, o *kernels.SGD) []stage {
	if o.Blocks.N > 1 {
		return lowerSGDBlocks(l, o)
	}
	s := newSGDRefs(l, o)
	st := bySize("sgd", o.W.Len(), 16, func(w *worker, lo, hi int) {
		mu, damp := s.move(0)
		rate := w.env.Rate * s.rates.f[0]
		weight, g := ptr(s.w.f[lo:hi]), ptr(s.g.f[lo:hi])
		factor, decay := w.env.GradFactor, o.Decay*w.env.WeightDecay
		if o.M == nil {
			sgd(weight, g, hi-lo, factor, decay, rate)
			return
		}
		m := s.m.f[lo:hi]
		if mu == 0 {
			clear(m) // not used, whatever it held
		}
		if o.Nesterov {
			sgdNesterov(weight, g, ptr(m), hi-lo, factor, decay, o.Momentum, rate, mu, damp)
		} else {
			sgdMomentum(weight, g, ptr(m), hi-lo, factor, decay, rate, mu, damp)
		}
	})
	return []stage{st}
}

type sgdRefs struct {
	o                     *kernels.SGD
	w, g, m, rates, first *ref
}

func newSGDRefs(l *lowering, o *kernels.SGD) *sgdRefs {
	return &sgdRefs{o, l.ref(o.W), l.ref(o.G), l.ref(o.M), l.ref(o.Rates), l.ref(o.FirstBlock)}
}

// move returns the factors of m and g in the new m of a block.
func (s *sgdRefs) move(block int32) (mu, damp float32) {
	if s.o.FirstBlock != nil && s.first.f[block] != 0 {
		return 0, 1
	}
	return s.o.Momentum, float32(1 - float64(s.o.Dampening))
}

func lowerSGDBlocks(l *lowering, o *kernels.SGD) []stage {
	s := newSGDRefs(l, o)
	kinds := 3
	if o.M == nil {
		kinds = 1
	}
	t := newBlockTiles(&o.Blocks, kinds)
	mem := l.temp("sgd block rates", t.size())
	mr := l.ref(mem)
	fill := t.stage(given(o.Rates, o.FirstBlock), mem, mr, func(w *worker, b int32, k int) float32 {
		mu, damp := s.move(b)
		return [3]float32{w.env.Rate * s.rates.f[b], mu, damp}[k]
	})
	cols := o.Blocks.Cols
	step := byRuns("sgd", rowRuns(&o.Blocks, mostRows(cols)), cols, func(w *worker, run rowRun) {
		factor, decay := w.env.GradFactor, o.Decay*w.env.WeightDecay
		place, end := t.at[run.block], run.hi*cols
		rate := ptr(t.tile(mr.f, place, 0))
		for lo := run.lo * cols; lo < end; lo += t.width {
			hi := min(end, lo+t.width)
			weight, g := ptr(s.w.f[lo:hi]), ptr(s.g.f[lo:hi])
			if o.M == nil {
				sgdColumns(weight, g, rate, hi-lo, factor, decay)
				continue
			}
			m, mu, damp := ptr(s.m.f[lo:hi]), ptr(t.tile(mr.f, place, 1)), ptr(t.tile(mr.f, place, 2))
			if o.Nesterov {
				sgdNesterovColumns(weight, g, m, rate, mu, damp, hi-lo, factor, decay, o.Momentum)
			} else {
				sgdMomentumColumns(weight, g, m, rate, mu, damp, hi-lo, factor, decay)
			}
		}
	})
	step.reads, step.writes = given(o.W, o.G, o.M, mem), given(o.W, o.M)
	return []stage{fill, step}
}
