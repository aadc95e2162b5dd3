package cpu

import "github.com/espalier-ml/espalier/kernels"

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
