package kernelstest

import "github.com/espalier-ml/espalier/kernels"

// tolerance bounds the difference of an element from the reference, which
// rounds once where a backend may round at every addition:
// |got - want| ≤ Relative·|want| + Scale·rms, rms over the whole operand.
type tolerance struct{ Relative, Scale float64 }

// The tolerances of all ops. Float32 rounds by 6e-8 relative; n roundings of
// mixed sign add up to about √n of that, and the worst of many elements is a
// few times worse.
var (
	exact    = tolerance{}           // data is moved, or added once
	rounded  = tolerance{1e-6, 1e-7} // a few roundings an element
	function = tolerance{4e-6, 2e-6} // exp, tanh or a square root, approximated
	summed   = tolerance{1e-5, 1e-5} // sums of up to a few thousand terms
	chained  = tolerance{5e-5, 5e-5} // sums of functions of sums
)

func (t tolerance) atLeast(f tolerance) tolerance {
	return tolerance{max(t.Relative, f.Relative), max(t.Scale, f.Scale)}
}

func toleranceOf(op kernels.Op) tolerance {
	switch o := op.(type) {
	case *kernels.Fill, *kernels.Transpose, *kernels.Slab, *kernels.Gather, *kernels.GatherGrad,
		*kernels.ChannelMap, *kernels.ChannelMapGrad, *kernels.Mark, *kernels.FakeQuant:
		return exact
	case *kernels.Binary, *kernels.Axpby, *kernels.Dropout, *kernels.Expand, *kernels.GlobalPoolGrad, *kernels.SGD, *kernels.BlockSquares:
		return rounded
	case *kernels.Unary:
		if o.Fn == kernels.NoAct || o.Fn == kernels.ReLU {
			return exact
		}
		return function
	case *kernels.Pool:
		if o.Max {
			return exact
		}
		return rounded
	case *kernels.UnaryGrad, *kernels.Softmax, *kernels.BatchNormInfer, *kernels.Adam, *kernels.PoolGrad,
		*kernels.AvaGrad, *kernels.RateSquares, *kernels.AdaBound:
		return function
	case *kernels.Attention, *kernels.AttentionGrad, *kernels.LSTM, *kernels.LSTMGrad,
		*kernels.BatchNorm, *kernels.BatchNormGrad, *kernels.LayerNorm, *kernels.LayerNormGrad, *kernels.SoftmaxXent:
		return chained
	}
	return summed
}
