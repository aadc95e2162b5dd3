//go:build !amd64

package cpu

import "github.com/espalier-ml/espalier/kernels"

func lowerNorm(l *lowering, op kernels.Op) []stage  { return nil }
func lowerPoint(l *lowering, op kernels.Op) []stage { return nil }
func lowerLoss(l *lowering, op kernels.Op) []stage  { return nil }
func lowerOptim(l *lowering, op kernels.Op) []stage { return nil }
