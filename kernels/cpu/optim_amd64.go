package cpu

import "github.com/espalier-ml/espalier/kernels"

func lowerOptim(l *lowering, op kernels.Op) []stage { return nil }
