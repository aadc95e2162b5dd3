package cpu

import "github.com/espalier-ml/espalier/kernels"

// poolWindow is the geometry of pooling x to y.
func poolWindow(x, y *kernels.Tensor, size, stride, pad int) window {
	return window{n: x.Dim(0), h: x.Dim(1), w: x.Dim(2), c: x.Dim(3), oh: y.Dim(1), ow: y.Dim(2),
		kh: size, kw: size, Conv: kernels.Conv{Stride: stride, Pad: pad}}
}

// taps is the number of positions of output (oh, ow) that lie in the image.
func (g *window) taps(oh, ow int) (n int) {
	for t := range g.kh * g.kw {
		_, okH := g.in(oh, t/g.kw, g.h)
		_, okW := g.in(ow, t%g.kw, g.w)
		if okH && okW {
			n++
		}
	}
	return n
}

func (l *lowering) refPool(o *kernels.Pool) []stage {
	g := poolWindow(o.X, o.Y, o.Window, o.Stride, o.Pad)
	x, y, where := l.ref(o.X), l.ref(o.Y), l.ref(o.Where)
	output := func(n, oh, ow, c int) (v float64, tap int) {
		tap = -1
		for t := range g.kh * g.kw {
			h, okH := g.in(oh, t/g.kw, g.h)
			w, okW := g.in(ow, t%g.kw, g.w)
			if !okH || !okW {
				continue
			}
			in := float64(x.f[((n*g.h+h)*g.w+w)*g.c+c])
			switch {
			case !o.Max:
				v += in
			case tap < 0 || in > v:
				v, tap = in, t
			}
		}
		if !o.Max {
			v /= float64(g.taps(oh, ow))
		}
		return v, tap
	}
	return []stage{rows("pool", g.n*g.oh, func(w *worker, lo, hi int) {
		for i := lo * g.ow * g.c; i < hi*g.ow*g.c; i++ {
			p := i / g.c
			v, tap := output(p/(g.oh*g.ow), p/g.ow%g.oh, p%g.ow, i%g.c)
			y.f[i] = float32(v)
			if where.u != nil {
				where.u[i] = uint8(tap)
			}
		}
	})}
}

// refPoolGrad collects, for every input pixel, from the windows that hold it.
func (l *lowering) refPoolGrad(o *kernels.PoolGrad) []stage {
	g := poolWindow(o.DX, o.DY, o.Window, o.Stride, o.Pad)
	dy, where, dx := l.ref(o.DY), l.ref(o.Where), l.ref(o.DX)
	input := func(n, h, w, c int) (sum float64) {
		for t := range g.kh * g.kw {
			oh, okH := g.out(h, t/g.kw, g.oh)
			ow, okW := g.out(w, t%g.kw, g.ow)
			if !okH || !okW {
				continue
			}
			i := ((n*g.oh+oh)*g.ow+ow)*g.c + c
			switch {
			case !o.Max:
				sum += float64(dy.f[i]) / float64(g.taps(oh, ow))
			case int(where.u[i]) == t:
				sum += float64(dy.f[i])
			}
		}
		return sum
	}
	return []stage{rows("pool-grad", g.n*g.h, func(w *worker, lo, hi int) {
		for i := lo * g.w * g.c; i < hi*g.w*g.c; i++ {
			p := i / g.c
			put(&dx.f[i], input(p/(g.h*g.w), p/g.w%g.h, p%g.w, i%g.c), o.Acc)
		}
	})}
}

func (l *lowering) refGlobalPool(o *kernels.GlobalPool) []stage {
	x, y := l.ref(o.X), l.ref(o.Y)
	n, c := o.X.Dim(0), o.X.Dim(3)
	pixels := o.X.Dim(1) * o.X.Dim(2)
	l.localDoubles(c)
	return []stage{rows("globalpool", n, func(w *worker, lo, hi int) {
		for i := lo; i < hi; i++ {
			sum := w.doubles(c)
			for p := range pixels {
				addScaled(sum, 1, x.f[(i*pixels+p)*c:][:c])
			}
			for j, s := range sum {
				y.f[i*c+j] = float32(s / float64(pixels))
			}
		}
	})}
}

func (l *lowering) refGlobalPoolGrad(o *kernels.GlobalPoolGrad) []stage {
	dy, dx := l.ref(o.DY), l.ref(o.DX)
	c := o.DX.Dim(3)
	pixels := o.DX.Dim(1) * o.DX.Dim(2)
	return []stage{elements("globalpool-grad", o.DX.Len(), func(w *worker, lo, hi int) {
		for i := lo; i < hi; i++ {
			put(&dx.f[i], float64(dy.f[i/c/pixels*c+i%c])/float64(pixels), o.Acc)
		}
	})}
}
