package models

import (
	"fmt"

	"github.com/espalier-ml/espalier/trainer/graph"
	"github.com/espalier-ml/espalier/trainer/nn"
)

// vggPlans are the widths between poolings of Simonyan and Zisserman, arXiv
// 1409.1556, table 1, columns A and D.
var vggPlans = map[int][][]int{
	11: {{64}, {128}, {256, 256}, {512, 512}, {512, 512}},
	16: {{64, 64}, {128, 128}, {256, 256, 256}, {512, 512, 512}, {512, 512, 512}},
}

// vgg makes vgg-11 and vgg-16 with batch norm (no bias in front of it) and a
// single linear classifier over the mean of the last map: the form used on
// CIFAR.
func vgg(args []int) (builder, error) {
	plan, ok := vggPlans[args[0]]
	if !ok {
		return nil, fmt.Errorf("model vgg-%d: want 11 or 16", args[0])
	}
	return func(g *graph.Graph, s Spec, x *graph.Value) *graph.Value {
		h, i := x, 0
		for _, widths := range plan {
			for _, w := range widths {
				l := nn.At(g, fmt.Sprintf("features.%d", i))
				h = nn.Conv(l.In("conv"), h, g.Dim(fmt.Sprintf("conv%d", i), w), 3, 1)
				h = nn.BatchNorm(l.In("bn"), h).ReLU()
				i++
			}
			if h.Shape()[1] > 1 {
				h = h.MaxPool(2, 2, 0)
			}
		}
		return nn.Classifier(nn.At(g, "classifier"), h.GlobalPool().Dropout(s.Dropout), s.Classes)
	}, nil
}
