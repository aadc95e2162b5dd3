package cpu

import "github.com/espalier-ml/espalier/kernels"

func lowerSequence(l *lowering, op kernels.Op) []stage { return nil }
