package cpu

import "github.com/espalier-ml/espalier/kernels"

// refMatMul computes one row of C at a time: a sum of rows of B, or with
// TransB dot products with rows of B.
func (l *lowering) refMatMul(o *kernels.MatMul) []stage {
	batch, m, n, k := o.Dims()
	a, b, c := l.ref(o.A), l.ref(o.B), l.ref(o.C)
	bias, pre := l.ref(o.Bias), l.ref(o.Pre)
	alpha := float64(o.Alpha)
	if alpha == 0 {
		alpha = 1
	}
	ai, ak := k, 1 // strides of A's row and inner index
	if o.TransA {
		ai, ak = 1, m
	}
	l.localDoubles(n)
	return []stage{rows("matmul", batch*m, func(w *worker, lo, hi int) {
		for r := lo; r < hi; r++ {
			A, B := a.f[r/m*m*k+r%m*ai:], b.f[r/m*k*n:][:k*n]
			sum := w.doubles(n)
			for p := 0; p < k && !o.TransB; p++ {
				addScaled(sum, float64(A[p*ak]), B[p*n:][:n])
			}
			for j := 0; j < n && o.TransB; j++ {
				for p, v := range B[j*k:][:k] {
					sum[j] += float64(A[p*ak]) * float64(v)
				}
			}
			for j, s := range sum {
				s = alpha*s + at(bias.f, j)
				if pre.f != nil {
					pre.f[r*n+j] = float32(s)
				}
				put(&c.f[r*n+j], activate(o.Act, s), o.Acc)
			}
		}
	})}
}

func (l *lowering) refSumRows(o *kernels.SumRows) []stage {
	x, y := l.ref(o.X), l.ref(o.Y)
	n := o.Y.Len()
	count := o.X.Len() / n
	l.localDoubles(16)
	return []stage{columns("sumrows", n, func(w *worker, lo, hi int) {
		sum := w.doubles(hi - lo)
		for i := range count {
			addScaled(sum, 1, x.f[i*n+lo:i*n+hi])
		}
		putRow(y.f[lo:hi], sum, o.Acc)
	})}
}
