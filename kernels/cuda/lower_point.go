package cuda

import (
	"github.com/espalier-ml/espalier/kernels"
	"github.com/espalier-ml/espalier/kernels/lowbit"
)

// point lowers pointwise ops, those that draw random numbers, and marks.
func (l *lowering) point(op kernels.Op) bool {
	switch o := op.(type) {
	case *kernels.Unary:
		l.each("unary", o.Y.Len(), o.Y, o.X, int(o.Fn), o.Y.Len())
	case *kernels.UnaryGrad:
		l.each("unary_grad", o.DX.Len(), o.DX, o.X, o.DY, int(o.Fn), o.Acc, o.DX.Len())
	case *kernels.Binary:
		l.each("binary", o.Y.Len(), o.Y, o.A, o.B, int(o.Fn), o.B.Len(), o.Acc, o.Y.Len())
	case *kernels.Axpby:
		l.each("axpby", o.Y.Len(), o.Y, o.X, o.Alpha, o.Beta, o.Y.Len())
	case *kernels.Fill:
		l.fill(o.Y, o.Value)
	case *kernels.Dropout:
		scale := float32(1 / (1 - float64(o.P)))
		l.each("dropout", ceil(o.Y.Len(), 4), l.env(), o.Y, o.X, o.P, scale, o.ID, o.Acc, o.Y.Len())
	case *kernels.FakeQuant:
		l.fakeQuant(o)
	case *kernels.Mark:
		l.steps = append(l.steps, step{mark: o.ID})
	default:
		return false
	}
	return true
}

func (l *lowering) fill(t *kernels.Tensor, v float32) { l.each("fill", t.Len(), t, v, t.Len()) }

// fakeQuant finds the step of every row first.
func (l *lowering) fakeQuant(o *kernels.FakeQuant) {
	cols, most := o.X.Len()/o.Rows, float32(lowbit.Largest(o.Bits))
	delta := l.temp(4 * o.Rows)
	l.perRow("row_delta", o.Rows, cols, delta, o.X, cols, most)
	l.each("fake_quant", o.X.Len(), l.env(), o.Y, o.X, o.Mode, delta, cols, most, o.ID, o.X.Len())
}
