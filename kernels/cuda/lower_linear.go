package cuda

import "github.com/espalier-ml/espalier/kernels"

// linear lowers products of matrices and convolutions on the kernels of src.
func (l *lowering) linear(op kernels.Op) bool {
	switch o := op.(type) {
	case *kernels.MatMul:
		l.matmul(matmulOf(o, l))
	case *kernels.Conv2D:
		l.each("conv", o.Y.Len(), o.Y, o.X, o.W, o.Bias, l.geometry(o.X, o.W, o.Y, o.Conv), int(o.Act))
	case *kernels.ConvInput:
		l.each("conv_input", o.DX.Len(), o.DX, o.DY, o.W, l.geometry(o.DX, o.W, o.DY, o.Conv), o.Acc)
	case *kernels.ConvWeight:
		l.convWeight(o)
	default:
		return false
	}
	return true
}

// matrices is a product of matrices: operands by address, and the distances of
// neighbours along each index in elements.
type matrices struct {
	c, pre, a, b, bias    uint64
	batch, m, n, k        int
	am, ak, bk, bn, ldc   int
	batchA, batchB, moveC int // distances of matrices of a batch
	alpha                 float32
	act                   kernels.Act
	acc                   bool
}

func matmulOf(o *kernels.MatMul, l *lowering) matrices {
	p := matrices{c: l.addr(o.C), pre: l.addr(o.Pre), a: l.addr(o.A), b: l.addr(o.B), bias: l.addr(o.Bias),
		alpha: o.Alpha, act: o.Act, acc: o.Acc}
	p.batch, p.m, p.n, p.k = o.Dims()
	p.am, p.ak, p.bk, p.bn, p.ldc = p.k, 1, p.n, 1, p.n
	if o.TransA {
		p.am, p.ak = 1, p.m
	}
	if o.TransB {
		p.bk, p.bn = 1, p.k
	}
	if p.alpha == 0 {
		p.alpha = 1
	}
	p.batchA, p.batchB, p.moveC = p.m*p.k, p.k*p.n, p.m*p.n
	return p
}

func (l *lowering) matmul(p matrices) {
	l.launch("matmul", dim(ceil(p.m, 64), ceil(p.n, 64), p.batch), dim(16, 16), 0, p.c, p.pre, p.a, p.b, p.bias, p.m, p.n, p.k,
		p.am, p.ak, p.bk, p.bn, p.ldc, p.batchA, p.batchB, p.moveC, p.alpha, int(p.act), p.acc)
}

// geometry is struct Geometry of src/conv.cu as a constant.
func (l *lowering) geometry(x, w, y *kernels.Tensor, c kernels.Conv) uint64 {
	var g []int32
	for _, v := range []int{x.Dim(0), x.Dim(1), x.Dim(2), x.Dim(3), y.Dim(1), y.Dim(2), y.Dim(3), w.Dim(0), w.Dim(1),
		x.Dim(3) / c.Groups, y.Dim(3) / c.Groups, c.Stride, c.Pad, c.Groups} {
		g = append(g, int32(v))
	}
	return l.constant(g)
}

func (l *lowering) convWeight(o *kernels.ConvWeight) {
	n := o.DY.Rows()
	pixels := max(256, ceil(n, 64))
	parts := ceil(n, pixels)
	part := l.temp(4 * parts * o.DW.Len())
	l.launch("conv_weight", dim(o.DW.Rows(), ceil(o.DW.Dim(-1), 32), parts), dim(32, 8), 0, part, o.X, o.DY, l.geometry(o.X, o.DW, o.DY, o.Conv), pixels)
	l.each("column_fold", o.DW.Len(), o.DW, (*kernels.Tensor)(nil), part, 1, parts, o.Acc, o.DW.Len())
}
