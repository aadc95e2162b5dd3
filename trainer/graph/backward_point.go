package graph

import (
	"slices"

	"github.com/espalier-ml/espalier/kernels"
)

// reversePoint emits the gradient of the ops without weights.
func (t *tape) reversePoint(op kernels.Op) {
	out := op.Outputs()[0]
	dy := t.of(out)
	if dy == nil {
		return
	}
	switch o := op.(type) {
	case *kernels.Binary:
		t.binary(o, dy)
	case *kernels.Unary:
		if d, acc := t.into(o.X); d != nil {
			x := o.Y
			if !o.Fn.FromOutput() {
				x = o.X
			}
			t.emit(&kernels.UnaryGrad{X: x, DY: dy, DX: d, Fn: o.Fn, Acc: acc})
		}
	case *kernels.Axpby:
		if d, acc := t.into(o.X); d != nil {
			t.emit(&kernels.Axpby{X: dy, Y: d, Alpha: o.Alpha, Beta: one(acc)})
		}
	case *kernels.FakeQuant:
		t.pass(dy, o.X, true)
	case *kernels.Dropout:
		if d, acc := t.into(o.X); d != nil {
			t.emit(&kernels.Dropout{X: dy, Y: d, P: o.P, ID: o.ID, Acc: acc})
		}
	case *kernels.Transpose:
		if d, acc := t.into(o.X); d != nil {
			inv := make([]int, len(o.Perm))
			for i, p := range o.Perm {
				inv[p] = i
			}
			t.emit(&kernels.Transpose{X: dy, Y: d, Perm: inv, Acc: acc})
		}
	case *kernels.Slab:
		t.slab(o, dy)
	case *kernels.Softmax:
		if d, acc := t.into(o.X); d != nil {
			t.emit(&kernels.SoftmaxGrad{Y: o.Y, DY: dy, DX: d, Acc: acc})
		}
	case *kernels.Reduce:
		if d, acc := t.into(o.X); d != nil {
			alpha := float32(1)
			if o.Mean {
				alpha = 1 / float32(o.X.Shape[o.Axis])
			}
			t.emit(&kernels.Expand{X: dy, Y: d, Axis: o.Axis, Alpha: alpha, Acc: acc})
		}
	default:
		t.reverseImage(op, dy)
	}
}

// reverseImage emits the gradient of the ops on images.
func (t *tape) reverseImage(op kernels.Op, dy *kernels.Tensor) {
	switch o := op.(type) {
	case *kernels.Pool:
		if d, acc := t.into(o.X); d != nil {
			t.emit(&kernels.PoolGrad{DY: dy, Where: o.Where, DX: d, Max: o.Max, Window: o.Window, Stride: o.Stride, Pad: o.Pad, Acc: acc})
		}
	case *kernels.GlobalPool:
		if d, acc := t.into(o.X); d != nil {
			t.emit(&kernels.GlobalPoolGrad{DY: dy, DX: d, Acc: acc})
		}
	case *kernels.ChannelMap:
		if d, acc := t.into(o.X); d != nil {
			t.emit(&kernels.ChannelMapGrad{DY: dy, DX: d, Stride: o.Stride, Map: o.Map, Acc: acc})
		}
	default:
		unsupported(op)
	}
}

func one(b bool) float32 {
	if b {
		return 1
	}
	return 0
}

func (t *tape) binary(o *kernels.Binary, dy *kernels.Tensor) {
	broadcast := !slices.Equal(o.A.Shape, o.B.Shape)
	if o.Fn == kernels.Mul {
		t.product(dy, o.B, o.A, o.A.Shape, false)
		t.product(dy, o.A, o.B, o.A.Shape, broadcast)
		return
	}
	sign := float32(1)
	if o.Fn == kernels.Sub {
		sign = -1
	}
	if broadcast {
		if d, acc := t.into(o.B); d != nil {
			x := dy
			if sign < 0 {
				x = kernels.New("neg", kernels.F32, dy.Shape...)
				t.emit(&kernels.Axpby{X: dy, Y: x, Alpha: -1})
			}
			t.emit(&kernels.SumRows{X: x, Y: d, Acc: acc})
		}
		t.pass(dy, o.A, true)
		return
	}
	if sign < 0 {
		if d, acc := t.into(o.B); d != nil {
			t.emit(&kernels.Axpby{X: dy, Y: d, Alpha: -1, Beta: one(acc)})
		}
		t.pass(dy, o.A, true)
		return
	}
	ops := t.g.ops
	switch {
	case o.A == o.B:
		if d, acc := t.into(o.A); d != nil {
			t.emit(&kernels.Axpby{X: dy, Y: d, Alpha: 2, Beta: one(acc)})
		}
	case t.takes(o.A, o.B, ops), t.takes(o.B, o.A, ops):
		t.pass(dy, o.B, true)
		t.pass(dy, o.A, true)
		t.shared[dy.Root()] = true
	default:
		t.pass(dy, o.B, false)
		t.pass(dy, o.A, true)
	}
}

// product adds dy⊙other to the gradient of x; when x was broadcast, summed
// over its repetitions.
func (t *tape) product(dy, other, x *kernels.Tensor, shape []int, broadcast bool) {
	d, acc := t.into(x)
	if d == nil {
		return
	}
	if !broadcast {
		t.emit(&kernels.Binary{A: dy, B: other, Y: d, Fn: kernels.Mul, Acc: acc})
		return
	}
	tmp := kernels.New("product", kernels.F32, shape...)
	t.emit(&kernels.Binary{A: dy, B: other, Y: tmp, Fn: kernels.Mul})
	t.emit(&kernels.SumRows{X: tmp, Y: d, Acc: acc})
}

// slab routes the gradient of a copied slab back. When the slab covers only
// part of X, the rest of X's gradient starts at zero.
func (t *tape) slab(o *kernels.Slab, dy *kernels.Tensor) {
	d, acc := t.into(o.X)
	if d == nil {
		return
	}
	if !acc && o.Len != o.X.Shape[o.Axis] {
		t.emit(&kernels.Fill{Y: d})
		acc = true
	}
	t.emit(&kernels.Slab{X: dy, Y: d, Axis: o.Axis, From: o.To, To: o.From, Len: o.Len, Acc: acc})
}
