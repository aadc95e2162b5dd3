package cuda

import (
	"math"

	"github.com/espalier-ml/espalier/kernels"
)

// sequence lowers attention and LSTM.
func (l *lowering) sequence(op kernels.Op) bool {
	switch o := op.(type) {
	case *kernels.Attention:
		g := headsOf(o.QKV, o.Heads, o.Causal)
		l.launch("attention", g.grid, dim(128), 4*g.len, o.O, o.LSE, o.QKV, g.len, g.h, g.d, g.causal, g.scale)
	case *kernels.AttentionGrad:
		g := headsOf(o.QKV, o.Heads, o.Causal)
		args := []any{o.DQKV, o.QKV, o.O, o.LSE, o.DO, g.len, g.h, g.d, g.causal, g.scale}
		l.launch("attention_grad_query", g.grid, dim(128), 4*g.len, args...)
		l.launch("attention_grad_key", g.grid, dim(128), 8*g.len, args...)
	case *kernels.LSTM:
		l.lstm(o)
	case *kernels.LSTMGrad:
		l.lstmGrad(o)
	default:
		return false
	}
	return true
}

type heads struct {
	len, h, d int
	causal    bool
	scale     float32
	grid      [3]int
}

func headsOf(qkv *kernels.Tensor, h int, causal bool) heads {
	d := qkv.Dim(2) / 3 / h
	return heads{qkv.Dim(1), h, d, causal, float32(1 / math.Sqrt(float64(d))), dim(qkv.Dim(1), qkv.Dim(0)*h)}
}

// lstm alternates the recurrent product and the cells of one time.
func (l *lowering) lstm(o *kernels.LSTM) {
	b, T, h := o.H.Dim(0), o.H.Dim(1), o.H.Dim(2)
	for t := range T {
		if t > 0 {
			l.matmul(matrices{c: l.addr(o.Gates) + uint64(16*t*h), a: l.addr(o.H) + uint64(4*(t-1)*h), b: l.addr(o.W),
				batch: 1, m: b, n: 4 * h, k: h, am: T * h, ak: 1, bk: 4 * h, bn: 1, ldc: 4 * T * h, alpha: 1})
		}
		l.each("lstm_cell", b*h, o.H, o.C, o.Gates, o.X, t, T, h, b*h)
	}
}

// lstmGrad walks back in time, then forms the weight gradient of all times at
// once: DW (+)= Σ H(t-1)ᵀ·DX(t).
func (l *lowering) lstmGrad(o *kernels.LSTMGrad) {
	b, T, h := o.H.Dim(0), o.H.Dim(1), o.H.Dim(2)
	carried, dc, before := l.temp(4*b*h), l.temp(4*b*h), l.temp(4*b*T*h)
	for t := T - 1; t >= 0; t-- {
		if t < T-1 {
			l.matmul(matrices{c: carried, a: l.addr(o.DX) + uint64(16*(t+1)*h), b: l.addr(o.W),
				batch: 1, m: b, n: h, k: 4 * h, am: 4 * T * h, ak: 1, bk: 1, bn: 4 * h, ldc: h, alpha: 1})
		}
		l.each("lstm_cell_grad", b*h, o.DX, dc, carried, o.DH, o.C, o.Gates, t, T, h, b*h)
	}
	l.each("lstm_before", b*T*h, before, o.H, T, h, b*T*h)
	l.matmul(matrices{c: l.addr(o.DW), a: before, b: l.addr(o.DX),
		batch: 1, m: h, n: 4 * h, k: b * T, am: 1, ak: h, bk: 4 * h, bn: 1, ldc: 4 * h, alpha: 1, acc: o.Acc})
}
