package cpu

import "github.com/espalier-ml/espalier/kernels"

// avagradRefs are the operands of one AvaGrad op.
type avagradRefs struct {
	o                   *kernels.AvaGrad
	w, g, m, v          *ref
	rates, corr1, corr2 *ref
	gamma, next         *ref
}

// The kinds of tiles of AvaGrad.
const (
	avaStep  = iota // factor of m/(corr2·√v+eps)
	avaDecay        // of w
	avaCorr
	avaNext
)

// value is the k-th number of a block.
func (a *avagradRefs) value(w *worker, b int32, k int) float32 {
	rate := w.env.Rate * a.rates.f[b]
	switch k {
	case avaStep:
		if a.gamma.f != nil {
			rate *= a.gamma.f[0]
		}
		return rate * a.corr1.f[b]
	case avaDecay:
		if !a.o.Decoupled {
			return 0
		}
		return rate * a.o.Decay * w.env.WeightDecay
	case avaCorr:
		return a.corr2.f[b]
	}
	return a.next.f[b]
}

func (a *avagradRefs) l2(env *kernels.Env) float32 {
	if a.o.Decoupled {
		return 0
	}
	return a.o.Decay * env.WeightDecay
}

func lowerAvaGrad(l *lowering, o *kernels.AvaGrad) []stage {
	a := &avagradRefs{o, l.ref(o.W), l.ref(o.G), l.ref(o.M), l.ref(o.V), l.ref(o.Rates), l.ref(o.Corr1), l.ref(o.Corr2),
		l.ref(o.Gamma), l.ref(o.Next)}
	kinds := 3
	if o.Squares != nil {
		kinds = 4
	}
	t := l.newSpread("avagrad", &o.Blocks, kinds)
	fill := t.fill(given(o.Rates, o.Corr1, o.Corr2, o.Gamma, o.Next), a.value)
	if o.Squares != nil {
		return append([]stage{fill}, lowerAvaGradSquares(l, a, t)...)
	}
	step := t.walk("avagrad", func(w *worker, _ int, s stretch) {
		l2 := a.l2(w.env)
		size, decay, corr := t.k(s, avaStep), t.k(s, avaDecay), t.k(s, avaCorr)
		for lo := s.lo; lo < s.hi; lo += t.width {
			hi := min(s.hi, lo+t.width)
			avagrad(ptr(a.w.f[lo:hi]), ptr(a.g.f[lo:hi]), ptr(a.m.f[lo:hi]), ptr(a.v.f[lo:hi]), size, decay, corr, hi-lo,
				w.env.GradFactor, l2, o.Beta1, rest(o.Beta1), o.Beta2, rest(o.Beta2), o.Eps)
		}
	})
	step.reads, step.writes = given(o.W, o.G, o.M, o.V, t.mem), given(o.W, o.M, o.V)
	return []stage{fill, step}
}

// lowerAvaGradSquares is the step that sums rates on its way.
func lowerAvaGradSquares(l *lowering, a *avagradRefs, t *spread) []stage {
	o := a.o
	sum, out := l.newSums("avagrad", t, o.Blocks.N), l.ref(o.Squares)
	step := t.walk("avagrad", func(w *worker, i int, s stretch) {
		l2, acc := a.l2(w.env), sum.begin(w)
		size, decay, corr, next := t.k(s, avaStep), t.k(s, avaDecay), t.k(s, avaCorr), t.k(s, avaNext)
		for lo := s.lo; lo < s.hi; lo += t.width {
			hi := min(s.hi, lo+t.width)
			avagradSquares(ptr(a.w.f[lo:hi]), ptr(a.g.f[lo:hi]), ptr(a.m.f[lo:hi]), ptr(a.v.f[lo:hi]), size, decay, corr, next, ptr64(acc), hi-lo,
				w.env.GradFactor, l2, o.Beta1, rest(o.Beta1), o.Beta2, rest(o.Beta2), o.Eps)
		}
		sum.end(i, acc)
	})
	step.reads, step.writes = given(o.W, o.G, o.M, o.V, t.mem), given(o.W, o.M, o.V, sum.mem)
	return []stage{step, sum.fold("avagrad fold", o.Squares, out)}
}

func lowerRateSquares(l *lowering, o *kernels.RateSquares) []stage {
	v, corr, out := l.ref(o.V), l.ref(o.Corr), l.ref(o.Out)
	t := l.newSpread("rate squares", &o.Blocks, 1)
	fill := t.fill(given(o.Corr), func(_ *worker, b int32, _ int) float32 { return corr.f[b] })
	sum := l.newSums("rate squares", t, o.Blocks.N)
	add := t.walk("rate squares", func(w *worker, i int, s stretch) {
		acc, c := sum.begin(w), t.k(s, 0)
		for lo := s.lo; lo < s.hi; lo += t.width {
			hi := min(s.hi, lo+t.width)
			rateSquares(ptr(v.f[lo:hi]), c, ptr64(acc), hi-lo, o.Eps)
		}
		sum.end(i, acc)
	})
	add.reads, add.writes = given(o.V, t.mem), given(sum.mem)
	return []stage{fill, add, sum.fold("rate squares fold", o.Out, out)}
}
