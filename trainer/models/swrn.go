package models

import (
	"fmt"

	"github.com/espalier-ml/espalier/kernels"
	"github.com/espalier-ml/espalier/trainer/graph"
	"github.com/espalier-ml/espalier/trainer/nn"
)

// sharedResNet makes swrn-D-W-K: wrn-D-W whose stages keep one bank of K
// templates each, from which the 3×3 convolutions of all blocks but the
// stage's first mix their weights (Savarese and Maire, arXiv 1902.09701).
// Norms, shortcuts, first blocks, stem and classifier are not shared.
func sharedResNet(args []int) (builder, error) {
	depth, w, k := args[0], args[1], args[2]
	if depth < 16 || depth%6 != 4 || depth > 1000 || w < 1 || w > 64 || k < 1 || k > 64 {
		return nil, fmt.Errorf("model swrn-%d-%d-%d: want depth 6n+4 from 16 on, width 1 to 64 and 1 to 64 templates, such as swrn-28-10-2", depth, w, k)
	}
	n := (depth - 4) / 6
	return func(g *graph.Graph, s Spec, x *graph.Value) *graph.Value {
		root := nn.At(g, "")
		out := g.Dim("stem", 16)
		h := nn.Conv(root.In("conv1"), x, out, 3, 1)
		for stage := 1; stage <= 3; stage++ {
			if width := 16 * w << (stage - 1); width != out.Full { // equal widths need no shortcut
				out = g.Dim(fmt.Sprintf("stage%d", stage), width)
			}
			stride := 1
			if stage > 1 {
				stride = 2
			}
			name := fmt.Sprintf("layer%d", stage)
			h = preBlock(g, name+".0", h, out.Full, out, stride, s.Dropout)
			bank := nn.NewBank(root.In(name+".bank"), k, 2*(n-1), sharedKernel(out))
			for b := 1; b < n; b++ {
				h = sharedBlock(nn.At(g, fmt.Sprintf("%s.%d", name, b)), h, bank, s.Dropout)
			}
		}
		h = nn.BatchNorm(root.In("bn"), h).ReLU()
		return nn.Classifier(root.In("fc"), h.GlobalPool(), s.Classes)
	}, nil
}

// sharedKernel describes a convolution between equal widths, as drawn in
// front of a ReLU.
func sharedKernel(width *graph.Dim) graph.ParamSpec {
	spec := graph.Kernel(3, width.Axis(), width.Axis())
	spec.Gain = 1.41421356 // √2
	return spec
}

func sharedBlock(s nn.Scope, x *graph.Value, bank *nn.Bank, drop float32) *graph.Value {
	same := kernels.Conv{Stride: 1, Pad: 1, Groups: 1}
	h := nn.BatchNorm(s.In("bn1"), x).ReLU().Conv(bank.Weight(), same, nil)
	h = nn.BatchNorm(s.In("bn2"), h).ReLU().Dropout(drop)
	return h.Conv(bank.Weight(), same, nil).Add(x)
}
