package cpu

import (
	"github.com/espalier-ml/espalier/kernels"
	"github.com/espalier-ml/espalier/kernels/philox"
)

func (l *lowering) refUnary(o *kernels.Unary) []stage {
	x, y := l.ref(o.X), l.ref(o.Y)
	return []stage{elements("unary", o.Y.Len(), func(w *worker, lo, hi int) {
		for i := lo; i < hi; i++ {
			y.f[i] = float32(activate(o.Fn, float64(x.f[i])))
		}
	})}
}

func (l *lowering) refUnaryGrad(o *kernels.UnaryGrad) []stage {
	x, dy, dx := l.ref(o.X), l.ref(o.DY), l.ref(o.DX)
	return []stage{elements("unary-grad", o.DX.Len(), func(w *worker, lo, hi int) {
		for i := lo; i < hi; i++ {
			put(&dx.f[i], float64(dy.f[i])*slope(o.Fn, float64(x.f[i])), o.Acc)
		}
	})}
}

func (l *lowering) refBinary(o *kernels.Binary) []stage {
	a, b, y := l.ref(o.A), l.ref(o.B), l.ref(o.Y)
	period := o.B.Len()
	return []stage{elements("binary", o.Y.Len(), func(w *worker, lo, hi int) {
		for i := lo; i < hi; i++ {
			put(&y.f[i], binary(o.Fn, float64(a.f[i]), float64(b.f[i%period])), o.Acc)
		}
	})}
}

func binary(f kernels.BinFn, a, b float64) float64 {
	switch f {
	case kernels.Sub:
		return a - b
	case kernels.Mul:
		return a * b
	}
	return a + b
}

func (l *lowering) refAxpby(o *kernels.Axpby) []stage {
	x, y := l.ref(o.X), l.ref(o.Y)
	alpha, beta := float64(o.Alpha), float64(o.Beta)
	return []stage{elements("axpby", o.Y.Len(), func(w *worker, lo, hi int) {
		for i := lo; i < hi; i++ {
			v := alpha * float64(x.f[i])
			if beta != 0 {
				v += beta * float64(y.f[i])
			}
			y.f[i] = float32(v)
		}
	})}
}

func (l *lowering) refFill(o *kernels.Fill) []stage {
	y := l.ref(o.Y)
	return []stage{elements("fill", o.Y.Len(), func(w *worker, lo, hi int) {
		for i := lo; i < hi; i++ {
			y.f[i] = o.Value
		}
	})}
}

func (l *lowering) refDropout(o *kernels.Dropout) []stage {
	x, y := l.ref(o.X), l.ref(o.Y)
	scale := 1 / (1 - float64(o.P))
	return []stage{elements("dropout", o.Y.Len(), func(w *worker, lo, hi int) {
		key := philox.NewKey(w.env.Seed, "dropout")
		for i := lo; i < hi; i++ {
			word := key.At(philox.Counter{uint32(i / 4), o.ID, uint32(w.env.Shard), uint32(w.env.Step)})[i%4]
			v := 0.0
			if philox.Uniform(word) >= o.P {
				v = float64(x.f[i]) * scale
			}
			put(&y.f[i], v, o.Acc)
		}
	})}
}
