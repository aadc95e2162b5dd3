package kernels

// Flops is the number of floating point operations of one run of op, counting
// a multiply-add as two and only products of matrices, convolutions,
// attention and recurrences. Positions that a window loses to padding count;
// positions that a causal mask hides do not. The op must pass [Check].
func Flops(op Op) int64 {
	switch o := op.(type) {
	case *MatMul:
		batch, m, n, k := o.Dims()
		return 2 * product(batch, m, n, k)
	case *Conv2D:
		return convFlops(o.Y, o.W)
	case *ConvInput:
		return convFlops(o.DY, o.W)
	case *ConvWeight:
		return convFlops(o.DY, o.DW)
	case *Attention: // scores and their product with the values
		return 2 * attentionFlops(o.QKV, o.Heads, o.Causal)
	case *AttentionGrad: // scores again, dV, dP, dQ and dK
		return 5 * attentionFlops(o.QKV, o.Heads, o.Causal)
	case *LSTM:
		return recurrentFlops(o.H)
	case *LSTMGrad: // states and weights
		return 2 * recurrentFlops(o.H)
	}
	return 0
}

func product(sizes ...int) int64 {
	n := int64(1)
	for _, s := range sizes {
		n *= int64(s)
	}
	return n
}

func convFlops(y, w *Tensor) int64 {
	return 2 * product(y.Rows(), w.Dim(0), w.Dim(1), w.Dim(2), w.Dim(3))
}

// attentionFlops is the cost of one [T,T] by D product for all heads.
func attentionFlops(qkv *Tensor, heads int, causal bool) int64 {
	b, t, d := qkv.Dim(0), qkv.Dim(1), qkv.Dim(2)/3/heads
	pairs := product(t, t)
	if causal {
		pairs = product(t, t+1) / 2
	}
	return 2 * product(b, heads, d) * pairs
}

// recurrentFlops is the cost of the products of states and weights; the first
// state of a sequence is zero.
func recurrentFlops(h *Tensor) int64 {
	return 2 * product(h.Dim(0), h.Dim(1)-1, h.Dim(2), 4*h.Dim(2))
}
