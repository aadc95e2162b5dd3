package cpu

import "github.com/espalier-ml/espalier/kernels"

func lowerConv(l *lowering, op kernels.Op) []stage { return nil }
