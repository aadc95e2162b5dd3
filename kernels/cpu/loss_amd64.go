package cpu

import "github.com/espalier-ml/espalier/kernels"

func lowerLoss(l *lowering, op kernels.Op) []stage { return nil }
