package cpu

import "github.com/espalier-ml/espalier/kernels"

// fast returns the stages of op on AVX2 kernels, or nil where the reference
// must do. Each family of kernels has its own file.
func (l *lowering) fast(op kernels.Op) []stage {
	switch o := op.(type) {
	default:
		_ = o
	}
	return nil
}

// reference returns the stages of op on portable loops.
func (l *lowering) reference(op kernels.Op) []stage {
	return nil
}
