package cpu

import "github.com/espalier-ml/espalier/kernels"

// window is the geometry of a convolution: images [n,h,w,c] and [n,oh,ow,k],
// weights [kh,kw,c/groups,k].
type window struct {
	n, h, w, c, oh, ow, k, kh, kw int
	cg, kg                        int // channels of a group
	kernels.Conv
}

func windowOf(x, w, y *kernels.Tensor, c kernels.Conv) window {
	g := window{n: x.Dim(0), h: x.Dim(1), w: x.Dim(2), c: x.Dim(3), oh: y.Dim(1), ow: y.Dim(2), k: y.Dim(3),
		kh: w.Dim(0), kw: w.Dim(1), Conv: c}
	g.cg, g.kg = g.c/c.Groups, g.k/c.Groups
	return g
}

// in returns the input index that output index o meets at tap t, if there is
// one in [0, size).
func (g *window) in(o, t, size int) (int, bool) {
	i := o*g.Stride + t - g.Pad
	return i, i >= 0 && i < size
}

// out returns the output index that input index i meets at tap t, if there is
// one in [0, size).
func (g *window) out(i, t, size int) (int, bool) {
	o := i + g.Pad - t
	return o / g.Stride, o >= 0 && o%g.Stride == 0 && o/g.Stride < size
}

// refConv sums, for every output pixel, the weight rows scaled by the inputs.
func (l *lowering) refConv(o *kernels.Conv2D) []stage {
	g := windowOf(o.X, o.W, o.Y, o.Conv)
	x, wt, y, bias := l.ref(o.X), l.ref(o.W), l.ref(o.Y), l.ref(o.Bias)
	l.localDoubles(g.k)
	pixel := func(sum []float64, n, oh, ow int) {
		for t := range g.kh * g.kw {
			h, okH := g.in(oh, t/g.kw, g.h)
			w, okW := g.in(ow, t%g.kw, g.w)
			if !okH || !okW {
				continue
			}
			for c, v := range x.f[((n*g.h+h)*g.w+w)*g.c:][:g.c] {
				k := c / g.cg * g.kg // first output of the group
				addScaled(sum[k:], float64(v), wt.f[(t*g.cg+c%g.cg)*g.k+k:][:g.kg])
			}
		}
	}
	return []stage{rows("conv", g.n*g.oh, func(w *worker, lo, hi int) {
		for p := lo * g.ow; p < hi*g.ow; p++ {
			sum := w.doubles(g.k)
			pixel(sum, p/(g.oh*g.ow), p/g.ow%g.oh, p%g.ow)
			for k, s := range sum {
				y.f[p*g.k+k] = float32(activate(o.Act, s+at(bias.f, k)))
			}
		}
	})}
}

// refConvInput forms, for every input pixel, dot products of weight rows with
// the output gradients that the pixel reached.
func (l *lowering) refConvInput(o *kernels.ConvInput) []stage {
	g := windowOf(o.DX, o.W, o.DY, o.Conv)
	dy, wt, dx := l.ref(o.DY), l.ref(o.W), l.ref(o.DX)
	l.localDoubles(g.c)
	pixel := func(sum []float64, n, h, w int) {
		for t := range g.kh * g.kw {
			oh, okH := g.out(h, t/g.kw, g.oh)
			ow, okW := g.out(w, t%g.kw, g.ow)
			if !okH || !okW {
				continue
			}
			d := dy.f[((n*g.oh+oh)*g.ow+ow)*g.k:][:g.k]
			for c := range sum {
				k := c / g.cg * g.kg
				sum[c] += dot(d[k:k+g.kg], wt.f[(t*g.cg+c%g.cg)*g.k+k:])
			}
		}
	}
	return []stage{rows("conv-input", g.n*g.h, func(w *worker, lo, hi int) {
		for p := lo * g.w; p < hi*g.w; p++ {
			sum := w.doubles(g.c)
			pixel(sum, p/(g.h*g.w), p/g.w%g.h, p%g.w)
			putRow(dx.f[p*g.c:][:g.c], sum, o.Acc)
		}
	})}
}

// refConvWeight computes one weight row, of a tap and an input channel of
// each group, at a time: a sum of output gradients scaled by inputs.
func (l *lowering) refConvWeight(o *kernels.ConvWeight) []stage {
	g := windowOf(o.X, o.DW, o.DY, o.Conv)
	x, dy, dw := l.ref(o.X), l.ref(o.DY), l.ref(o.DW)
	l.localDoubles(g.k)
	row := func(sum []float64, t, c int) {
		for p := range g.n * g.oh * g.ow {
			h, okH := g.in(p/g.ow%g.oh, t/g.kw, g.h)
			w, okW := g.in(p%g.ow, t%g.kw, g.w)
			if !okH || !okW {
				continue
			}
			X := x.f[((p/(g.oh*g.ow)*g.h+h)*g.w+w)*g.c:]
			for i := range g.Groups {
				k := i * g.kg
				addScaled(sum[k:], float64(X[i*g.cg+c]), dy.f[p*g.k+k:][:g.kg])
			}
		}
	}
	return []stage{rows("conv-weight", g.kh*g.kw*g.cg, func(w *worker, lo, hi int) {
		for r := lo; r < hi; r++ {
			sum := w.doubles(g.k)
			row(sum, r/g.cg, r%g.cg)
			putRow(dw.f[r*g.k:][:g.k], sum, o.Acc)
		}
	})}
}
