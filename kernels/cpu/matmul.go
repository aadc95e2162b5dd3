package cpu

import "github.com/espalier-ml/espalier/kernels"

func lowerMatMul(l *lowering, op kernels.Op) []stage { return nil }
