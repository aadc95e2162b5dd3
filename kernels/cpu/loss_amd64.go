package cpu

import (
	"math"

	"github.com/espalier-ml/espalier/kernels"
)

func lowerLoss(l *lowering, op kernels.Op) []stage {
	switch o := op.(type) {
	case *kernels.Softmax:
		return lowerSoftmax(l, o)
	case *kernels.SoftmaxGrad:
		return lowerSoftmaxGrad(l, o)
	case *kernels.SoftmaxXent:
		return lowerSoftmaxXent(l, o)
	}
	return nil
}

func lowerSoftmax(l *lowering, o *kernels.Softmax) []stage {
	x, y := l.ref(o.X), l.ref(o.Y)
	k := o.X.Dim(-1)
	return []stage{elementwise("softmax", o.Y, 8, k, func(_ *worker, lo, hi int) {
		for i := lo; i < hi; i += k {
			x, y := x.f[i:i+k], y.f[i:i+k]
			sum := vexpSub(y, x, vmax(x))
			scaleInto(ptr(y), ptr(y), k, 1/sum)
		}
	})}
}

func lowerSoftmaxGrad(l *lowering, o *kernels.SoftmaxGrad) []stage {
	y, dy, dx := l.ref(o.Y), l.ref(o.DY), l.ref(o.DX)
	k := o.Y.Dim(-1)
	kernel := softmaxGrad
	if o.Acc {
		kernel = softmaxGradAcc
	}
	return []stage{elementwise("softmax gradient", o.DX, 12, k, func(_ *worker, lo, hi int) {
		for i := lo; i < hi; i += k {
			y, dy := ptr(y.f[i:i+k]), ptr(dy.f[i:i+k])
			var s float32
			dotOf(&s, y, dy, k)
			kernel(ptr(dx.f[i:i+k]), y, dy, k, s)
		}
	})}
}

type xentRefs struct {
	z, loss, hit, dz, target *ref
	k                        int
	smooth                   float64
}

func lowerSoftmaxXent(l *lowering, o *kernels.SoftmaxXent) []stage {
	x := &xentRefs{l.ref(o.Logits), l.ref(o.Loss), l.ref(o.Hit), l.ref(o.DLogits), l.ref(o.Target), o.Logits.Dim(1), float64(o.Smooth)}
	bytes := 8
	if o.DLogits == nil {
		bytes = 4
		l.local(x.k)
	}
	return []stage{elementwise("softmax cross-entropy", o.Logits, bytes, x.k, func(w *worker, lo, hi int) {
		for i := lo / x.k; i < hi/x.k; i++ {
			x.row(w, i)
		}
	})}
}

// row leaves p - q, scaled, in dz; p are the probabilities and q the target
// distribution. A target that is no class makes the loss NaN.
func (x *xentRefs) row(w *worker, i int) {
	k, t := x.k, int(x.target.i[i])
	z := x.z.f[i*k : (i+1)*k]
	valid := t >= 0 && t < k
	x.loss.f[i], x.hit.f[i] = 0, 0
	if t == -1 {
		if x.dz.t != nil {
			clear(x.dz.f[i*k : (i+1)*k])
		}
		return
	}
	top := vmax(z)
	d := x.dz.f
	if d == nil {
		d = w.floats(k)
	} else {
		d = d[i*k : (i+1)*k]
	}
	sum := vexpSub(d, z, top)
	cross := math.NaN()
	if valid {
		cross = float64(top) + math.Log(float64(sum)) - (1-x.smooth)*float64(z[t])
		if z[t] == top && (t == 0 || vmax(z[:t]) < top) {
			x.hit.f[i] = 1
		}
	}
	spread := x.smooth / float64(k)
	if x.smooth > 0 {
		cross -= spread * total(z)
	}
	x.loss.f[i] = float32(cross)
	if x.dz.t == nil {
		return
	}
	scale := w.env.GradScale
	scaleShift(ptr(d), ptr(d), k, scale/sum, -scale*float32(spread))
	if valid {
		d[t] -= scale * float32(1-x.smooth)
	}
}
