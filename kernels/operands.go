package kernels

// This file lists the operands of every op: see Op.

func list(ts ...*Tensor) []*Tensor {
	out := ts[:0]
	for _, t := range ts {
		if t != nil {
			out = append(out, t)
		}
	}
	return out
}

// when returns t if cond holds: an output that is also read.
func when(cond bool, t *Tensor) *Tensor {
	if cond {
		return t
	}
	return nil
}

// Inputs lists the operands that o reads.
func (o *MatMul) Inputs() []*Tensor { return list(o.A, o.B, o.Bias, when(o.Acc, o.C)) }

// Outputs lists the operands that o writes.
func (o *MatMul) Outputs() []*Tensor { return list(o.C, o.Pre) }

// Inputs lists the operands that o reads.
func (o *Conv2D) Inputs() []*Tensor { return list(o.X, o.W, o.Bias) }

// Outputs lists the operands that o writes.
func (o *Conv2D) Outputs() []*Tensor { return list(o.Y) }

// Inputs lists the operands that o reads.
func (o *ConvInput) Inputs() []*Tensor { return list(o.DY, o.W, when(o.Acc, o.DX)) }

// Outputs lists the operands that o writes.
func (o *ConvInput) Outputs() []*Tensor { return list(o.DX) }

// Inputs lists the operands that o reads.
func (o *ConvWeight) Inputs() []*Tensor { return list(o.X, o.DY, when(o.Acc, o.DW)) }

// Outputs lists the operands that o writes.
func (o *ConvWeight) Outputs() []*Tensor { return list(o.DW) }

// Inputs lists the operands that o reads.
func (o *SumRows) Inputs() []*Tensor { return list(o.X, when(o.Acc, o.Y)) }

// Outputs lists the operands that o writes.
func (o *SumRows) Outputs() []*Tensor { return list(o.Y) }

// Inputs lists the operands that o reads.
func (o *Attention) Inputs() []*Tensor { return list(o.QKV) }

// Outputs lists the operands that o writes.
func (o *Attention) Outputs() []*Tensor { return list(o.O, o.LSE) }

// Inputs lists the operands that o reads.
func (o *AttentionGrad) Inputs() []*Tensor { return list(o.QKV, o.O, o.LSE, o.DO) }

// Outputs lists the operands that o writes.
func (o *AttentionGrad) Outputs() []*Tensor { return list(o.DQKV) }

// Inputs lists the operands that o reads.
func (o *LSTM) Inputs() []*Tensor { return list(o.X, o.W) }

// Outputs lists the operands that o writes.
func (o *LSTM) Outputs() []*Tensor { return list(o.H, o.C, o.Gates) }

// Inputs lists the operands that o reads.
func (o *LSTMGrad) Inputs() []*Tensor { return list(o.W, o.H, o.C, o.Gates, o.DH, when(o.Acc, o.DW)) }

// Outputs lists the operands that o writes.
func (o *LSTMGrad) Outputs() []*Tensor { return list(o.DX, o.DW) }

// Inputs lists the operands that o reads.
func (o *BatchNorm) Inputs() []*Tensor { return list(o.X, o.Gamma, o.Beta, o.Residual) }

// Outputs lists the operands that o writes.
func (o *BatchNorm) Outputs() []*Tensor { return list(o.Y, o.Mean, o.Var, o.InvStd) }

// Inputs lists the operands that o reads.
func (o *BatchNormInfer) Inputs() []*Tensor {
	return list(o.X, o.Gamma, o.Beta, o.Mean, o.Var, o.Residual)
}

// Outputs lists the operands that o writes.
func (o *BatchNormInfer) Outputs() []*Tensor { return list(o.Y) }

// Inputs lists the operands that o reads.
func (o *BatchNormGrad) Inputs() []*Tensor {
	return list(o.X, o.Y, o.DY, o.Gamma, o.Mean, o.InvStd, when(o.AccResidual, o.DResidual))
}

// Outputs lists the operands that o writes.
func (o *BatchNormGrad) Outputs() []*Tensor { return list(o.DX, o.DGamma, o.DBeta, o.DResidual) }

// Inputs lists the operands that o reads.
func (o *LayerNorm) Inputs() []*Tensor { return list(o.X, o.Gamma, o.Beta) }

// Outputs lists the operands that o writes.
func (o *LayerNorm) Outputs() []*Tensor { return list(o.Y, o.Mean, o.InvStd) }

// Inputs lists the operands that o reads.
func (o *LayerNormGrad) Inputs() []*Tensor {
	return list(o.X, o.DY, o.Gamma, o.Mean, o.InvStd, when(o.Acc, o.DX))
}

// Outputs lists the operands that o writes.
func (o *LayerNormGrad) Outputs() []*Tensor { return list(o.DX, o.DGamma, o.DBeta) }

// Inputs lists the operands that o reads.
func (o *Softmax) Inputs() []*Tensor { return list(o.X) }

// Outputs lists the operands that o writes.
func (o *Softmax) Outputs() []*Tensor { return list(o.Y) }

// Inputs lists the operands that o reads.
func (o *SoftmaxGrad) Inputs() []*Tensor { return list(o.Y, o.DY, when(o.Acc, o.DX)) }

// Outputs lists the operands that o writes.
func (o *SoftmaxGrad) Outputs() []*Tensor { return list(o.DX) }

// Inputs lists the operands that o reads.
func (o *SoftmaxXent) Inputs() []*Tensor { return list(o.Logits, o.Target) }

// Outputs lists the operands that o writes.
func (o *SoftmaxXent) Outputs() []*Tensor { return list(o.Loss, o.Hit, o.DLogits) }

// Inputs lists the operands that o reads.
func (o *Unary) Inputs() []*Tensor { return list(o.X) }

// Outputs lists the operands that o writes.
func (o *Unary) Outputs() []*Tensor { return list(o.Y) }

// Inputs lists the operands that o reads.
func (o *UnaryGrad) Inputs() []*Tensor { return list(o.X, o.DY, when(o.Acc, o.DX)) }

// Outputs lists the operands that o writes.
func (o *UnaryGrad) Outputs() []*Tensor { return list(o.DX) }

// Inputs lists the operands that o reads.
func (o *Binary) Inputs() []*Tensor { return list(o.A, o.B, when(o.Acc, o.Y)) }

// Outputs lists the operands that o writes.
func (o *Binary) Outputs() []*Tensor { return list(o.Y) }

// Inputs lists the operands that o reads.
func (o *Axpby) Inputs() []*Tensor { return list(o.X, when(o.Beta != 0, o.Y)) }

// Outputs lists the operands that o writes.
func (o *Axpby) Outputs() []*Tensor { return list(o.Y) }

// Inputs lists the operands that o reads.
func (o *Fill) Inputs() []*Tensor { return list() }

// Outputs lists the operands that o writes.
func (o *Fill) Outputs() []*Tensor { return list(o.Y) }

// Inputs lists the operands that o reads.
func (o *Dropout) Inputs() []*Tensor { return list(o.X, when(o.Acc, o.Y)) }

// Outputs lists the operands that o writes.
func (o *Dropout) Outputs() []*Tensor { return list(o.Y) }

// Inputs lists the operands that o reads.
func (o *Transpose) Inputs() []*Tensor { return list(o.X, when(o.Acc, o.Y)) }

// Outputs lists the operands that o writes.
func (o *Transpose) Outputs() []*Tensor { return list(o.Y) }

// Inputs lists the operands that o reads.
func (o *Slab) Inputs() []*Tensor { return list(o.X, when(o.Len != o.Y.Shape[o.Axis] || o.Acc, o.Y)) }

// Outputs lists the operands that o writes.
func (o *Slab) Outputs() []*Tensor { return list(o.Y) }

// Inputs lists the operands that o reads.
func (o *Gather) Inputs() []*Tensor { return list(o.Table, o.Index) }

// Outputs lists the operands that o writes.
func (o *Gather) Outputs() []*Tensor { return list(o.Y) }

// Inputs lists the operands that o reads.
func (o *GatherGrad) Inputs() []*Tensor { return list(o.DY, o.Index, when(o.Acc, o.DTable)) }

// Outputs lists the operands that o writes.
func (o *GatherGrad) Outputs() []*Tensor { return list(o.DTable) }

// Inputs lists the operands that o reads.
func (o *Pool) Inputs() []*Tensor { return list(o.X) }

// Outputs lists the operands that o writes.
func (o *Pool) Outputs() []*Tensor { return list(o.Y, o.Where) }

// Inputs lists the operands that o reads.
func (o *PoolGrad) Inputs() []*Tensor { return list(o.DY, o.Where, when(o.Acc, o.DX)) }

// Outputs lists the operands that o writes.
func (o *PoolGrad) Outputs() []*Tensor { return list(o.DX) }

// Inputs lists the operands that o reads.
func (o *GlobalPool) Inputs() []*Tensor { return list(o.X) }

// Outputs lists the operands that o writes.
func (o *GlobalPool) Outputs() []*Tensor { return list(o.Y) }

// Inputs lists the operands that o reads.
func (o *GlobalPoolGrad) Inputs() []*Tensor { return list(o.DY, when(o.Acc, o.DX)) }

// Outputs lists the operands that o writes.
func (o *GlobalPoolGrad) Outputs() []*Tensor { return list(o.DX) }

// Inputs lists the operands that o reads.
func (o *Reduce) Inputs() []*Tensor { return list(o.X) }

// Outputs lists the operands that o writes.
func (o *Reduce) Outputs() []*Tensor { return list(o.Y) }

// Inputs lists the operands that o reads.
func (o *Expand) Inputs() []*Tensor { return list(o.X, when(o.Acc, o.Y)) }

// Outputs lists the operands that o writes.
func (o *Expand) Outputs() []*Tensor { return list(o.Y) }

// Inputs lists the operands that o reads.
func (o *ChannelMap) Inputs() []*Tensor { return list(o.X) }

// Outputs lists the operands that o writes.
func (o *ChannelMap) Outputs() []*Tensor { return list(o.Y) }

// Inputs lists the operands that o reads.
func (o *ChannelMapGrad) Inputs() []*Tensor { return list(o.DY, when(o.Acc, o.DX)) }

// Outputs lists the operands that o writes.
func (o *ChannelMapGrad) Outputs() []*Tensor { return list(o.DX) }

// Inputs lists the operands that o reads.
func (o *SGD) Inputs() []*Tensor { return list(o.W, o.G, o.M, o.Rates, o.FirstBlock) }

// Outputs lists the operands that o writes.
func (o *SGD) Outputs() []*Tensor { return list(o.W, o.M) }

// Inputs lists the operands that o reads.
func (o *Adam) Inputs() []*Tensor { return list(o.W, o.G, o.M, o.V, o.Rates, o.Corr1, o.Corr2) }

// Outputs lists the operands that o writes.
func (o *Adam) Outputs() []*Tensor { return list(o.W, o.M, o.V) }

// Inputs lists the operands that o reads.
func (o *AvaGrad) Inputs() []*Tensor {
	return list(o.W, o.G, o.M, o.V, o.Rates, o.Corr1, o.Corr2, o.Gamma, o.Next)
}

// Outputs lists the operands that o writes.
func (o *AvaGrad) Outputs() []*Tensor { return list(o.W, o.M, o.V, o.Squares) }

// Inputs lists the operands that o reads.
func (o *RateSquares) Inputs() []*Tensor { return list(o.V, o.Corr) }

// Outputs lists the operands that o writes.
func (o *RateSquares) Outputs() []*Tensor { return list(o.Out) }

// Inputs lists the operands that o reads.
func (o *AdaBound) Inputs() []*Tensor {
	return list(o.W, o.G, o.M, o.V, o.Max, o.Rates, o.Beta1, o.Scale, o.Lower, o.Upper)
}

// Outputs lists the operands that o writes.
func (o *AdaBound) Outputs() []*Tensor { return list(o.W, o.M, o.V, o.Max) }

// Inputs lists the operands that o reads.
func (o *BlockSquares) Inputs() []*Tensor { return list(o.W) }

// Outputs lists the operands that o writes.
func (o *BlockSquares) Outputs() []*Tensor { return list(o.Out) }

// Inputs lists the tensors that must be complete.
func (o *Mark) Inputs() []*Tensor { return o.After }

// Outputs is empty.
func (o *Mark) Outputs() []*Tensor { return nil }
