package cpu

import "github.com/espalier-ml/espalier/kernels"

func lowerAdaBound(l *lowering, o *kernels.AdaBound) []stage {
	w, g, m, v, top := l.ref(o.W), l.ref(o.G), l.ref(o.M), l.ref(o.V), l.ref(o.Max)
	numbers := []*kernels.Tensor{o.Rates, o.Beta1, o.Scale, o.Lower, o.Upper}
	refs := make([]*ref, len(numbers))
	for i, x := range numbers {
		refs[i] = l.ref(x)
	}
	t := l.newSpread("adabound", &o.Blocks, len(numbers))
	fill := t.fill(numbers, func(th *worker, b int32, k int) float32 {
		if k == 0 {
			return th.env.Rate * refs[0].f[b]
		}
		return refs[k].f[b]
	})
	low, high := box(o.Box)
	step := t.walk("adabound", func(th *worker, _ int, s stretch) {
		l2, decay := o.Decay*th.env.WeightDecay, float32(0)
		if o.Decoupled {
			l2, decay = 0, l2
		}
		rate, beta1, scale, lower, upper := t.k(s, 0), t.k(s, 1), t.k(s, 2), t.k(s, 3), t.k(s, 4)
		for lo := s.lo; lo < s.hi; lo += t.width {
			hi := min(s.hi, lo+t.width)
			if o.Max == nil {
				adabound(ptr(w.f[lo:hi]), ptr(g.f[lo:hi]), ptr(m.f[lo:hi]), ptr(v.f[lo:hi]), rate, beta1, scale, lower, upper, hi-lo,
					th.env.GradFactor, l2, decay, o.Beta2, rest(o.Beta2), o.Eps, low, high)
			} else {
				amsbound(ptr(w.f[lo:hi]), ptr(g.f[lo:hi]), ptr(m.f[lo:hi]), ptr(v.f[lo:hi]), rate, beta1, scale, lower, upper, ptr(top.f[lo:hi]), hi-lo,
					th.env.GradFactor, l2, decay, o.Beta2, rest(o.Beta2), o.Eps, low, high)
			}
		}
	})
	step.reads, step.writes = given(o.W, o.G, o.M, o.V, o.Max, t.mem), given(o.W, o.M, o.V, o.Max)
	return []stage{fill, step}
}
