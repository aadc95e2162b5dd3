package cpu

import "github.com/espalier-ml/espalier/kernels"

func lowerPoint(l *lowering, op kernels.Op) []stage { return nil }
