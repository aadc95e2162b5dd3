package cpu

import (
	"math"
	"unsafe"

	"github.com/espalier-ml/espalier/kernels"
)

// reference returns the stages of op on portable loops. They define what the
// op means: written to be read, sums and products accumulated in float64 and
// rounded once. A product of two float32 numbers is exact in float64, so it
// does not matter whether a compiler fuses it with the addition that follows.
func (l *lowering) reference(op kernels.Op) []stage {
	switch o := op.(type) {
	case *kernels.MatMul:
		return l.refMatMul(o)
	case *kernels.SumRows:
		return l.refSumRows(o)
	case *kernels.Conv2D:
		return l.refConv(o)
	case *kernels.ConvInput:
		return l.refConvInput(o)
	case *kernels.ConvWeight:
		return l.refConvWeight(o)
	case *kernels.BatchNorm:
		return l.refBatchNorm(o)
	case *kernels.BatchNormInfer:
		return l.refBatchNormInfer(o)
	case *kernels.BatchNormGrad:
		return l.refBatchNormGrad(o)
	case *kernels.LayerNorm:
		return l.refLayerNorm(o)
	case *kernels.LayerNormGrad:
		return l.refLayerNormGrad(o)
	case *kernels.Softmax:
		return l.refSoftmax(o)
	case *kernels.SoftmaxGrad:
		return l.refSoftmaxGrad(o)
	case *kernels.SoftmaxXent:
		return l.refSoftmaxXent(o)
	case *kernels.Unary:
		return l.refUnary(o)
	case *kernels.UnaryGrad:
		return l.refUnaryGrad(o)
	case *kernels.Binary:
		return l.refBinary(o)
	case *kernels.Axpby:
		return l.refAxpby(o)
	case *kernels.Fill:
		return l.refFill(o)
	case *kernels.Dropout:
		return l.refDropout(o)
	case *kernels.FakeQuant:
		return l.fakeQuant(o)
	case *kernels.Transpose:
		return l.refTranspose(o)
	case *kernels.Slab:
		return l.refSlab(o)
	case *kernels.Gather:
		return l.refGather(o)
	case *kernels.GatherGrad:
		return l.refGatherGrad(o)
	case *kernels.Pool:
		return l.refPool(o)
	case *kernels.PoolGrad:
		return l.refPoolGrad(o)
	case *kernels.GlobalPool:
		return l.refGlobalPool(o)
	case *kernels.GlobalPoolGrad:
		return l.refGlobalPoolGrad(o)
	case *kernels.Reduce:
		return l.refReduce(o)
	case *kernels.Expand:
		return l.refExpand(o)
	case *kernels.ChannelMap:
		return l.refChannelMap(o)
	case *kernels.ChannelMapGrad:
		return l.refChannelMapGrad(o)
	case *kernels.Attention:
		return l.refAttention(o)
	case *kernels.AttentionGrad:
		return l.refAttentionGrad(o)
	case *kernels.LSTM:
		return l.refLSTM(o)
	case *kernels.LSTMGrad:
		return l.refLSTMGrad(o)
	case *kernels.SGD:
		return l.refSGD(o)
	case *kernels.Adam:
		return l.refAdam(o)
	case *kernels.BlockSquares:
		return l.refBlockSquares(o)
	case *kernels.AvaGrad:
		return l.refAvaGrad(o)
	case *kernels.RateSquares:
		return l.refRateSquares(o)
	case *kernels.AdaBound:
		return l.refAdaBound(o)
	}
	return nil
}

// rows is a private stage over n independent rows, cut in at most 32 parts.
func rows(name string, n int, f func(w *worker, lo, hi int)) stage {
	k := min(n, 32)
	return stage{name: name, parts: k, run: func(w *worker, p int) { f(w, p*n/k, (p+1)*n/k) }}
}

// columns is a private stage over n independent columns, one part for every
// 16 of them: a cache line of a row.
func columns(name string, n int, f func(w *worker, lo, hi int)) stage {
	return stage{name: name, parts: (n + 15) / 16, run: func(w *worker, p int) {
		f(w, p*16, min(n, p*16+16))
	}}
}

// elements is a private stage over n independent elements, one part for every
// 4096 of them.
func elements(name string, n int, f func(w *worker, lo, hi int)) stage {
	const step = 4096
	return stage{name: name, parts: (n + step - 1) / step, run: func(w *worker, p int) {
		f(w, p*step, min(n, p*step+step))
	}}
}

// localDoubles makes sure that worker.doubles has n numbers.
func (l *lowering) localDoubles(n int) { l.local(2 * n) }

// doubles returns n cleared float64 numbers of thread-private memory. They
// overlay the worker's floats.
func (w *worker) doubles(n int) []float64 {
	d := asDoubles(w.floats(2 * n))
	clear(d)
	return d
}

// asDoubles uses the memory of f, which is 8-byte aligned, for float64 numbers.
func asDoubles(f []float32) []float64 {
	if len(f) < 2 {
		return nil
	}
	return unsafe.Slice((*float64)(unsafe.Pointer(&f[0])), len(f)/2)
}

// addScaled is sum += a·x.
func addScaled(sum []float64, a float64, x []float32) {
	sum = sum[:len(x)]
	for i, v := range x {
		sum[i] += a * float64(v)
	}
}

// dot is Σ a·b.
func dot(a, b []float32) (s float64) {
	b = b[:len(a)]
	for i, v := range a {
		s += float64(v) * float64(b[i])
	}
	return s
}

// put stores v, or adds it to what is there, rounding once.
func put(dst *float32, v float64, acc bool) {
	if acc {
		v += float64(*dst)
	}
	*dst = float32(v)
}

// putRow is put for a row.
func putRow(dst []float32, v []float64, acc bool) {
	for i := range dst {
		put(&dst[i], v[i], acc)
	}
}

// at is f[i], or 0 where the operand is absent.
func at(f []float32, i int) float64 {
	if f == nil {
		return 0
	}
	return float64(f[i])
}

const gelu0, gelu1 = 0.7978845608028654, 0.044715 // √(2/π); kernels.GELU

// activate is the value of a at x. NaN stays NaN.
func activate(a kernels.Act, x float64) float64 {
	switch a {
	case kernels.ReLU:
		if x < 0 {
			return 0
		}
	case kernels.GELU:
		return 0.5 * x * (1 + math.Tanh(gelu0*(x+gelu1*x*x*x)))
	case kernels.SiLU:
		return x * sigmoid(x)
	case kernels.Tanh:
		return math.Tanh(x)
	case kernels.Sigmoid:
		return sigmoid(x)
	}
	return x
}

// slope is the derivative of a, given a's output where a.FromOutput, else its
// input.
func slope(a kernels.Act, x float64) float64 {
	switch a {
	case kernels.ReLU:
		if x > 0 {
			return 1
		}
		return 0
	case kernels.GELU:
		t := math.Tanh(gelu0 * (x + gelu1*x*x*x))
		return 0.5*(1+t) + 0.5*x*(1-t*t)*gelu0*(1+3*gelu1*x*x)
	case kernels.SiLU:
		s := sigmoid(x)
		return s * (1 + x*(1-s))
	case kernels.Tanh:
		return 1 - x*x
	case kernels.Sigmoid:
		return x * (1 - x)
	}
	return 1
}

func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }
