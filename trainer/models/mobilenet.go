package models

import (
	"fmt"

	"github.com/espalier-ml/espalier/trainer/graph"
	"github.com/espalier-ml/espalier/trainer/nn"
)

// mobileNet is MobileNet v1 (Howard et al., arXiv 1704.04861, table 1): 13
// depthwise separable convolutions. On small images the stem and the first
// reduction keep stride 1.
func mobileNet(g *graph.Graph, s Spec, x *graph.Value) *graph.Value {
	plan := []struct{ width, stride int }{
		{64, 1}, {128, 2}, {128, 1}, {256, 2}, {256, 1}, {512, 2},
		{512, 1}, {512, 1}, {512, 1}, {512, 1}, {512, 1}, {1024, 2}, {1024, 1},
	}
	root := nn.At(g, "")
	stem := 2
	if s.small() {
		stem = 1
	}
	h := nn.Conv(root.In("conv1"), x, g.Dim("stem", 32), 3, stem)
	h = nn.BatchNorm(root.In("bn1"), h).ReLU()
	for i, p := range plan {
		l := root.In(fmt.Sprintf("layers.%d", i))
		h = nn.DepthwiseConv(l.In("conv1"), h, 3, p.stride)
		h = nn.BatchNorm(l.In("bn1"), h).ReLU()
		h = nn.Conv(l.In("conv2"), h, g.Dim(fmt.Sprintf("block%d", i), p.width), 1, 1)
		h = nn.BatchNorm(l.In("bn2"), h).ReLU()
	}
	return nn.Classifier(root.In("linear"), h.GlobalPool(), s.Classes)
}
