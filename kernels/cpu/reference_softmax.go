package cpu

import (
	"math"

	"github.com/espalier-ml/espalier/kernels"
)

// largest returns the position of the first of the largest numbers.
func largest(x []float32) int {
	at := 0
	for i, v := range x {
		if v > x[at] {
			at = i
		}
	}
	return at
}

// logSumExp is log Σ exp(x), computed around the largest x.
func logSumExp(x []float32) float64 {
	top, sum := float64(x[largest(x)]), 0.0
	for _, v := range x {
		sum += math.Exp(float64(v) - top)
	}
	return top + math.Log(sum)
}

func (l *lowering) refSoftmax(o *kernels.Softmax) []stage {
	x, y := l.ref(o.X), l.ref(o.Y)
	k := o.X.Dim(-1)
	return []stage{rows("softmax", o.X.Rows(), func(w *worker, lo, hi int) {
		for r := lo; r < hi; r++ {
			lse := logSumExp(x.f[r*k:][:k])
			for i := r * k; i < r*k+k; i++ {
				y.f[i] = float32(math.Exp(float64(x.f[i]) - lse))
			}
		}
	})}
}

func (l *lowering) refSoftmaxGrad(o *kernels.SoftmaxGrad) []stage {
	y, dy, dx := l.ref(o.Y), l.ref(o.DY), l.ref(o.DX)
	k := o.Y.Dim(-1)
	return []stage{rows("softmax-grad", o.Y.Rows(), func(w *worker, lo, hi int) {
		for r := lo; r < hi; r++ {
			sum := dot(y.f[r*k:][:k], dy.f[r*k:])
			for i := r * k; i < r*k+k; i++ {
				put(&dx.f[i], float64(y.f[i])*(float64(dy.f[i])-sum), o.Acc)
			}
		}
	})}
}

// refSoftmaxXent: with p = softmax(z) and the target distribution q,
// loss = log Σexp(z) - Σ q·z and its gradient p - q. A target that is no
// class makes the loss NaN.
func (l *lowering) refSoftmaxXent(o *kernels.SoftmaxXent) []stage {
	z, target := l.ref(o.Logits), l.ref(o.Target)
	loss, hit, dz := l.ref(o.Loss), l.ref(o.Hit), l.ref(o.DLogits)
	k, smooth := o.Logits.Dim(-1), float64(o.Smooth)
	row := func(scale float64, i int) {
		z, t := z.f[i*k:][:k], int(target.i[i])
		lse, cross := logSumExp(z), math.NaN()
		if t >= 0 && t < k {
			cross = lse - (1-smooth)*float64(z[t])
			for _, v := range z {
				cross -= smooth / float64(k) * float64(v)
			}
		} else if t == -1 {
			cross, scale = 0, 0
		}
		loss.f[i], hit.f[i] = float32(cross), 0
		if largest(z) == t {
			hit.f[i] = 1
		}
		for j := 0; j < k && dz.f != nil; j++ {
			q := smooth / float64(k)
			if j == t {
				q += 1 - smooth
			}
			dz.f[i*k+j] = float32(scale * (math.Exp(float64(z[j])-lse) - q))
		}
	}
	return []stage{rows("softmax-xent", o.Logits.Rows(), func(w *worker, lo, hi int) {
		for i := lo; i < hi; i++ {
			row(float64(w.env.GradScale), i)
		}
	})}
}
