package models

import (
	"fmt"

	"github.com/espalier-ml/espalier/trainer/graph"
	"github.com/espalier-ml/espalier/trainer/nn"
)

// mlp is a fully connected network with ReLU, 1024-1024 by default:
// x [N,H,W,C] is flattened.
func mlp(g *graph.Graph, s Spec, x *graph.Value) *graph.Value {
	hidden := s.Hidden
	if len(hidden) == 0 {
		hidden = []int{1024, 1024}
	}
	root := nn.At(g, "")
	h := x.Flatten() // [N,D]
	for i, n := range hidden {
		name := fmt.Sprintf("fc%d", i+1)
		width := g.Dim(name, n)
		if s.Norm {
			h = nn.BatchNorm(root.In(fmt.Sprintf("bn%d", i+1)), nn.Linear(root.In(name), h, width.Axis(), 1)).ReLU()
		} else {
			h = nn.LinearReLU(root.In(name), h, width.Axis())
		}
		h = h.Dropout(s.Dropout)
	}
	return nn.Classifier(root.In("out"), h, s.Classes)
}
