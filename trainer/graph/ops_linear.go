package graph

import (
	"slices"

	"github.com/espalier-ml/espalier/kernels"
)

// This file holds the maps with weights. Legend: N images or rows, H W height
// and width, C input and K output channels, T positions, D features.

// Linear is x·w + bias: x [...,D], w [D,K]; bias [K] may be nil.
func (x *Value) Linear(w, bias *Value) *Value {
	x.mustMatch("linear", x.Last(), w.Axes[0])
	x = w.prepared(x)
	y := x.g.value(w.T.Name+".out", kernels.F32, append(slices.Clone(x.Axes[:len(x.Axes)-1]), w.Last())...)
	x.g.emit(&kernels.MatMul{A: x.T, B: w.T, C: y.T, Bias: tensor(bias)})
	return y.behind(x, w, bias)
}

// LinearT is x·wᵀ: x [...,D], w [K,D]. It ties an output layer to an embedding.
func (x *Value) LinearT(w *Value) *Value {
	x.mustMatch("linear", x.Last(), w.Last())
	x = w.prepared(x)
	y := x.g.value(w.T.Name+".out", kernels.F32, append(slices.Clone(x.Axes[:len(x.Axes)-1]), w.Axes[0])...)
	x.g.emit(&kernels.MatMul{A: x.T, B: w.T, C: y.T, TransB: true})
	return y.behind(x, w, nil)
}

// MatMul is the batched product of a [B,M,K] and b [B,K,N], or of their
// transposes.
func (a *Value) MatMul(b *Value, transA, transB bool) *Value {
	m, n := a.Axes[1], b.Axes[2]
	if transA {
		m = a.Axes[2]
	}
	if transB {
		n = b.Axes[1]
	}
	y := a.g.value("matmul", kernels.F32, a.Axes[0], m, n)
	a.g.emit(&kernels.MatMul{A: a.T, B: b.T, C: y.T, TransA: transA, TransB: transB})
	return y
}

// Conv is the convolution of x [N,H,W,C] with w [k,k,C/groups,K]; bias [K]
// may be nil.
func (x *Value) Conv(w *Value, c kernels.Conv, bias *Value) *Value {
	k := w.Axes[0].Size()
	out := w.Last()
	switch {
	case c.Groups == 1:
		x.mustMatch("conv", x.Last(), w.Axes[2])
	case w.Axes[2].Size() == 1:
		x.mustMatch("depthwise conv", x.Last(), out)
	}
	x = w.prepared(x)
	y := x.g.value(w.T.Name+".out", kernels.F32, x.Axes[0],
		Fixed(c.Out(x.Axes[1].Size(), k)), Fixed(c.Out(x.Axes[2].Size(), k)), out)
	x.g.emit(&kernels.Conv2D{X: x.T, W: w.T, Y: y.T, Conv: c, Bias: tensor(bias)})
	return y.behind(x, w, bias)
}

// behind notes which weights scale y = w(x) + bias: those that scale x, and w
// itself unless it has no growing input.
func (y *Value) behind(x, w, bias *Value) *Value {
	y.scaled = x.scaled
	if p := w.param; p != nil && p.In >= 0 && p.Axes[p.In].Dim != nil {
		y.scaled = append(slices.Clone(x.scaled), p)
	}
	if bias != nil && bias.param != nil {
		bias.param.Scaled = y.scaled
	}
	return y
}

func (x *Value) mustMatch(op string, have, want Axis) {
	if !have.same(want) {
		fail("%s: %v has last axis %v, the weight wants %v", op, x, have, want)
	}
}

func tensor(v *Value) *kernels.Tensor {
	if v == nil {
		return nil
	}
	return v.T
}

// Gather looks rows up: x holds indices of any shape, table is [V,D].
func (x *Value) Gather(table *Value) *Value {
	y := x.g.value(table.T.Name+".out", kernels.F32, append(slices.Clone(x.Axes), table.Last())...)
	x.g.emit(&kernels.Gather{Table: table.T, Index: x.T, Y: y.T})
	return y
}

// Attention is multi-head self-attention on x [B,T,3·heads·d] laid out
// [q k v][heads][d], the head axis a Dim or fixed; it returns [B,T,heads·d].
func (x *Value) Attention(heads int, causal bool) *Value {
	a := x.Last()
	if a.Outer != 3 {
		fail("attention: %v: the last axis must have 3 outer entries (q, k, v)", x)
	}
	b, t := x.Axes[0], x.Axes[1]
	y := x.g.value("attention", kernels.F32, b, t, Axis{Dim: a.Dim, Outer: 1, Inner: a.Inner})
	lse := x.g.value("attention.lse", kernels.F32, b, Fixed(heads), t)
	x.g.emit(&kernels.Attention{QKV: x.T, O: y.T, LSE: lse.T, Heads: heads, Causal: causal})
	y.scaled = x.scaled
	return y
}

// LSTM runs a sequence from a zero state: x [B,T,4·H] holds the gates' input
// parts including biases, w [H,4·H] the recurrent weights. It returns the
// hidden states [B,T,H].
func (x *Value) LSTM(w *Value) *Value {
	h := w.Axes[0]
	x.mustMatch("lstm", x.Last(), w.Last())
	y := x.g.value(w.T.Name+".h", kernels.F32, x.Axes[0], x.Axes[1], h)
	c := x.g.value(w.T.Name+".c", kernels.F32, y.Axes...)
	gates := x.g.value(w.T.Name+".gates", kernels.F32, x.Axes...)
	x.g.emit(&kernels.LSTM{X: x.T, W: w.T, H: y.T, C: c.T, Gates: gates.T})
	return y
}
