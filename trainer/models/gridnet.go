package models

import (
	"fmt"

	"github.com/espalier-ml/espalier/kernels"
	"github.com/espalier-ml/espalier/trainer/graph"
	"github.com/espalier-ml/espalier/trainer/nn"
)

// gridNet makes gridnet-L, which labels the cells of a grid: a 1×1 convolution
// to 32 channels, L 3×3 convolutions with batch norm, ReLU and a skip around
// each, and a 1×1 convolution to the classes. In sgridnet-L-K all L
// convolutions mix their weights from one bank of K templates (Savarese and
// Maire, arXiv 1902.09701).
func gridNet(args []int) (builder, error) {
	layers, k := args[0], 0
	if len(args) == 2 {
		k = args[1]
	}
	if layers < 1 || layers > 256 || len(args) == 2 && (k < 1 || k > 256) {
		return nil, fmt.Errorf("model gridnet-%d: want 1 to 256 layers and templates, such as gridnet-20 or sgridnet-20-20", layers)
	}
	return func(g *graph.Graph, s Spec, x *graph.Value) *graph.Value {
		root := nn.At(g, "")
		width := g.Dim("width", 32)
		h := nn.Conv(root.In("conv0"), x, width, 1, 1)
		h = nn.BatchNorm(root.In("bn0"), h).ReLU()
		var bank *nn.Bank
		if k > 0 {
			bank = nn.NewBank(root.In("bank"), k, layers, sharedKernel(width))
		}
		for l := 1; l <= layers; l++ {
			in := nn.At(g, fmt.Sprintf("layer%d", l))
			var y *graph.Value
			if bank != nil {
				y = h.Conv(bank.Weight(), kernels.Conv{Stride: 1, Pad: 1, Groups: 1}, nil)
			} else {
				y = nn.Conv(in.In("conv"), h, width, 3, 1)
			}
			h = nn.BatchNorm(in.In("bn"), y).ReLU().Add(h)
		}
		return nn.Classifier(root.In("out"), h, s.Classes)
	}, nil
}
