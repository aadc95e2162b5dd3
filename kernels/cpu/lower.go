package cpu

import "github.com/espalier-ml/espalier/kernels"

// families are the AVX2 kernels, one function and one set of files each. A
// family returns nil for an op, or a shape, that it leaves to the reference.
var families = []func(l *lowering, op kernels.Op) []stage{
	lowerConv, lowerMatMul, lowerSequence, lowerNorm, lowerPoint, lowerLoss, lowerOptim,
}

// fast returns the stages of op on AVX2 kernels, or nil where the reference
// must do.
func (l *lowering) fast(op kernels.Op) []stage {
	for _, f := range families {
		if st := f(l, op); st != nil {
			return st
		}
	}
	return nil
}
