package cuda

import "github.com/espalier-ml/espalier/kernels"

// norm lowers normalisations, softmax and sums over rows.
func (l *lowering) norm(op kernels.Op) bool {
	switch o := op.(type) {
	case *kernels.BatchNorm:
		l.batchNorm(o)
	case *kernels.BatchNormInfer:
		l.each("batch_norm_infer", o.Y.Len(), o.Y, o.X, o.Gamma, o.Beta, o.Mean, o.Var, o.Residual, o.ReLU, o.Eps, o.X.Dim(-1), o.Y.Len())
	case *kernels.BatchNormGrad:
		l.batchNormGrad(o)
	case *kernels.LayerNorm:
		l.perRow("layer_norm", o.X.Rows(), o.X.Dim(-1), o.Y, o.Mean, o.InvStd, o.X, o.Gamma, o.Beta, o.X.Dim(-1), o.Eps)
	case *kernels.LayerNormGrad:
		n, c := o.X.Rows(), o.X.Dim(-1)
		l.perRow("layer_norm_grad", n, c, o.DX, o.X, o.DY, o.Gamma, o.Mean, o.InvStd, c, o.Acc)
		l.columnSums(columns{dy: o.DY, x: o.X, mean: o.Mean, inv: o.InvStd, byRow: true, sum: o.DBeta, sumX: o.DGamma}, n, c)
	case *kernels.Softmax:
		l.perRow("softmax", o.X.Rows(), o.X.Dim(-1), o.Y, o.X, o.X.Dim(-1))
	case *kernels.SoftmaxGrad:
		l.perRow("softmax_grad", o.Y.Rows(), o.Y.Dim(-1), o.DX, o.Y, o.DY, o.Y.Dim(-1), o.Acc)
	case *kernels.SoftmaxXent:
		k := o.Logits.Dim(-1)
		l.perRow("softmax_xent", o.Logits.Rows(), k, l.env(), o.Loss, o.Hit, o.DLogits, o.Logits, o.Target, k, o.Smooth)
	case *kernels.SumRows:
		l.columnSums(columns{dy: o.X, sum: o.Y, acc: o.Acc}, o.X.Len()/o.Y.Len(), o.Y.Len())
	default:
		return false
	}
	return true
}

// partRows is how many of n rows make a part whose sum is formed at once: at
// most 64 parts, none too small.
func partRows(n int) int { return max(32, ceil(n, 64)) }

func (l *lowering) batchNorm(o *kernels.BatchNorm) {
	n, c := o.X.Rows(), o.X.Dim(-1)
	rows := partRows(n)
	parts := ceil(n, rows)
	part := l.temp(8 * parts * c)
	l.launch("column_moments", dim(ceil(c, 32), parts), dim(32, 8), 0, part, o.X, n, c, rows)
	l.each("column_statistics", c, o.Mean, o.Var, o.InvStd, part, n, rows, parts, o.Eps, c)
	l.each("batch_norm", o.Y.Len(), o.Y, o.X, o.Gamma, o.Beta, o.Mean, o.InvStd, o.Residual, o.ReLU, c, o.Y.Len())
}

func (l *lowering) batchNormGrad(o *kernels.BatchNormGrad) {
	n, c := o.X.Rows(), o.X.Dim(-1)
	y := o.Y
	if !o.ReLU {
		y = nil
	}
	l.columnSums(columns{dy: o.DY, y: y, x: o.X, mean: o.Mean, inv: o.InvStd, sum: o.DBeta, sumX: o.DGamma}, n, c)
	l.each("batch_norm_grad", n*c, o.DX, o.DResidual, o.X, y, o.DY, o.Gamma, o.Mean, o.InvStd, o.DGamma, o.DBeta, o.AccResidual, n, c)
}

// columns are the operands of kernel column_sums and where its sums go.
type columns struct {
	dy, y, x, mean, inv *kernels.Tensor
	byRow               bool
	sum, sumX           *kernels.Tensor
	acc                 bool
}

// columnSums adds up the rows of a matrix [n, c].
func (l *lowering) columnSums(s columns, n, c int) {
	rows := partRows(n)
	parts := ceil(n, rows)
	part := l.temp(8 * parts * c)
	l.launch("column_sums", dim(ceil(c, 32), parts), dim(32, 8), 0, part, s.dy, s.y, s.x, s.mean, s.inv, s.byRow, n, c, rows)
	l.each("column_fold", c, s.sum, s.sumX, part, 2, parts, s.acc, c)
}
