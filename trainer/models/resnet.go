package models

import (
	"fmt"

	"github.com/espalier-ml/espalier/trainer/graph"
	"github.com/espalier-ml/espalier/trainer/nn"
)

// resnet makes residual networks (He et al., arXiv 1512.03385). resnet-18 and
// resnet-50 are the ImageNet forms with projection shortcuts; every other
// depth 6n+2 is the CIFAR form with three stages of n blocks and shortcuts
// without parameters (option A).
func resnet(args []int) (builder, error) {
	switch depth := args[0]; {
	case depth == 18:
		return func(g *graph.Graph, s Spec, x *graph.Value) *graph.Value {
			return resnetLarge(g, s, x, []int{2, 2, 2, 2}, 1, basic)
		}, nil
	case depth == 50:
		return func(g *graph.Graph, s Spec, x *graph.Value) *graph.Value {
			return resnetLarge(g, s, x, []int{3, 4, 6, 3}, 4, bottleneck)
		}, nil
	case depth >= 8 && depth%6 == 2 && depth <= 1202:
		n := (depth - 2) / 6
		return func(g *graph.Graph, s Spec, x *graph.Value) *graph.Value { return resnetSmall(g, s, x, n) }, nil
	default:
		return nil, fmt.Errorf("model resnet-%d: want 18, 50, or 6n+2 such as 20, 32, 56, 110", depth)
	}
}

// resnetSmall is the CIFAR form: stages of width 16, 32, 64 (Spec.Base times
// 1, 2, 4). One Dim is the residual stream of a stage, one the inside of each
// block.
func resnetSmall(g *graph.Graph, s Spec, x *graph.Value, blocks int) *graph.Value {
	base := or(s.Base, 16)
	root := nn.At(g, "")
	h := nn.Conv(root.In("conv1"), x, g.Dim("stage1", base), 3, 1)
	h = nn.BatchNorm(root.In("bn1"), h).ReLU()
	for stage := 1; stage <= 3; stage++ {
		width := base << (stage - 1)
		stream := g.Dim(fmt.Sprintf("stage%d", stage), width)
		for b := range blocks {
			name := fmt.Sprintf("layer%d.%d", stage, b)
			stride := 1
			if stage > 1 && b == 0 {
				stride = 2
			}
			h = blockA(root.In(name), h, g.Dim(name, width), stream, stride)
		}
	}
	return nn.Classifier(root.In("fc"), h.GlobalPool(), s.Classes)
}

// blockA is two 3×3 convolutions beside a shortcut without parameters.
func blockA(s nn.Scope, x *graph.Value, inner, out *graph.Dim, stride int) *graph.Value {
	h := nn.Conv(s.In("conv1"), x, inner, 3, stride)
	h = nn.BatchNorm(s.In("bn1"), h).ReLU()
	h = nn.Conv(s.In("conv2"), h, out, 3, 1)
	h = nn.BatchNorm(s.In("bn2"), h)
	if x.Last().Dim != out {
		x = x.Shortcut(out, stride)
	}
	return h.Add(x).ReLU()
}

// block builds one residual block of the ImageNet form.
type block func(g *graph.Graph, name string, x *graph.Value, width int, out *graph.Dim, stride int) *graph.Value

// resnetLarge is the ImageNet form: stages of width 64, 128, 256, 512, their
// residual streams `expand` times as wide.
func resnetLarge(g *graph.Graph, s Spec, x *graph.Value, blocks []int, expand int, make block) *graph.Value {
	base := or(s.Base, 64)
	root := nn.At(g, "")
	stem := g.Dim("stem", base)
	if expand == 1 {
		stem = g.Dim("stage1", base) // one stream: the first shortcut is the identity
	}
	var h *graph.Value
	if s.small() {
		h = nn.BatchNorm(root.In("bn1"), nn.Conv(root.In("conv1"), x, stem, 3, 1)).ReLU()
	} else {
		h = nn.BatchNorm(root.In("bn1"), nn.Conv(root.In("conv1"), x, stem, 7, 2)).ReLU()
		h = h.MaxPool(3, 2, 1)
	}
	for i, n := range blocks {
		width := base << i
		out := g.Dim(fmt.Sprintf("stage%d", i+1), width*expand)
		for b := range n {
			stride := 1
			if i > 0 && b == 0 {
				stride = 2
			}
			h = make(g, fmt.Sprintf("layer%d.%d", i+1, b), h, width, out, stride)
		}
	}
	return nn.Classifier(root.In("fc"), h.GlobalPool(), s.Classes)
}

// project is the 1×1 shortcut where size or channels change.
func project(s nn.Scope, x *graph.Value, out *graph.Dim, stride int) *graph.Value {
	if x.Last().Dim == out {
		return x
	}
	return nn.BatchNorm(s.In("downsample.1"), nn.Conv(s.In("downsample.0"), x, out, 1, stride))
}

func basic(g *graph.Graph, name string, x *graph.Value, width int, out *graph.Dim, stride int) *graph.Value {
	s := nn.At(g, name)
	skip := project(s, x, out, stride)
	h := nn.BatchNorm(s.In("bn1"), nn.Conv(s.In("conv1"), x, g.Dim(name, width), 3, stride)).ReLU()
	h = nn.BatchNorm(s.In("bn2"), nn.Conv(s.In("conv2"), h, out, 3, 1))
	return h.Add(skip).ReLU()
}

// bottleneck carries the stride in its 3×3 convolution, as torchvision does.
func bottleneck(g *graph.Graph, name string, x *graph.Value, width int, out *graph.Dim, stride int) *graph.Value {
	s := nn.At(g, name)
	skip := project(s, x, out, stride)
	a, b := g.Dim(name+".a", width), g.Dim(name+".b", width)
	h := nn.BatchNorm(s.In("bn1"), nn.Conv(s.In("conv1"), x, a, 1, 1)).ReLU()
	h = nn.BatchNorm(s.In("bn2"), nn.Conv(s.In("conv2"), h, b, 3, stride)).ReLU()
	h = nn.BatchNorm(s.In("bn3"), nn.Conv(s.In("conv3"), h, out, 1, 1))
	return h.Add(skip).ReLU()
}
