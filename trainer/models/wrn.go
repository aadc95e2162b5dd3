package models

import (
	"fmt"

	"github.com/espalier-ml/espalier/trainer/graph"
	"github.com/espalier-ml/espalier/trainer/nn"
)

// wideResNet makes wrn-D-K: a pre-activation residual network of depth D =
// 6n+4 with stages of width 16K, 32K, 64K (Zagoruyko and Komodakis, arXiv
// 1605.07146). Where the width changes, the shortcut is a 1×1 convolution of
// the normalised input.
func wideResNet(args []int) (builder, error) {
	depth, k := args[0], args[1]
	if depth < 10 || depth%6 != 4 || depth > 1000 || k < 1 || k > 64 {
		return nil, fmt.Errorf("model wrn-%d-%d: want depth 6n+4 and width 1 to 64, such as wrn-28-10", depth, k)
	}
	n := (depth - 4) / 6
	return func(g *graph.Graph, s Spec, x *graph.Value) *graph.Value {
		root := nn.At(g, "")
		h := nn.Conv(root.In("conv1"), x, g.Dim("stem", 16), 3, 1)
		for stage := 1; stage <= 3; stage++ {
			width := 16 * k << (stage - 1)
			out := g.Dim(fmt.Sprintf("stage%d", stage), width)
			for b := range n {
				stride := 1
				if stage > 1 && b == 0 {
					stride = 2
				}
				h = preBlock(g, fmt.Sprintf("layer%d.%d", stage, b), h, width, out, stride, s.Dropout)
			}
		}
		h = nn.BatchNorm(root.In("bn"), h).ReLU()
		return nn.Classifier(root.In("fc"), h.GlobalPool(), s.Classes)
	}, nil
}

func preBlock(g *graph.Graph, name string, x *graph.Value, width int, out *graph.Dim, stride int, drop float32) *graph.Value {
	s := nn.At(g, name)
	a := nn.BatchNorm(s.In("bn1"), x).ReLU()
	h := nn.Conv(s.In("conv1"), a, g.Dim(name, width), 3, stride)
	h = nn.BatchNorm(s.In("bn2"), h).ReLU().Dropout(drop)
	h = nn.BranchConv(s.In("conv2"), h, out, 3, 1)
	if x.Last().Dim != out {
		x = nn.BranchConv(s.In("shortcut"), a, out, 1, stride)
	}
	return h.Add(x)
}
