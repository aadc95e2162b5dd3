// Package nn holds the layers that models are made of: each declares its
// parameters under a name and connects them to the graph.
//
//	s := nn.At(g, "layer1.0")
//	h := nn.Conv(s.In("conv1"), x, width, 3, 1)   // [N,H,W,width]
//	h = nn.BatchNorm(s.In("bn1"), h).ReLU()
//
// Names follow PyTorch's, so that exported weights are found where people
// look for them. Initial values are described, not drawn: the trainer draws
// them from the counter RNG.
package nn

import (
	"github.com/espalier-ml/espalier/kernels"
	"github.com/espalier-ml/espalier/trainer/graph"
)

// Scope is a place in a model: a graph and the prefix of names.
type Scope struct {
	g    *graph.Graph
	name string
}

// At is the scope called name of g.
func At(g *graph.Graph, name string) Scope { return Scope{g, name} }

// In is the scope called name inside s.
func (s Scope) In(name string) Scope {
	if s.name != "" {
		name = s.name + "." + name
	}
	return Scope{s.g, name}
}

func (s Scope) param(name string, spec graph.ParamSpec) *graph.Value {
	return s.g.Param(s.In(name).name, spec)
}

// relu is the gain of He et al., arXiv 1502.01852: √2 in front of a ReLU.
const relu = 1.41421356

// Conv is a k×k convolution without bias, padded to keep the size at stride
// 1: x [N,H,W,C] becomes [N,H/stride,W/stride,out].
func Conv(s Scope, x *graph.Value, out *graph.Dim, k, stride int) *graph.Value {
	return conv(s, x, out, k, stride, false)
}

// BranchConv is a Conv whose output is added to a residual stream with no norm
// in between.
func BranchConv(s Scope, x *graph.Value, out *graph.Dim, k, stride int) *graph.Value {
	return conv(s, x, out, k, stride, true)
}

func conv(s Scope, x *graph.Value, out *graph.Dim, k, stride int, branch bool) *graph.Value {
	spec := graph.Kernel(k, x.Last(), out.Axis())
	spec.Gain, spec.Branch = relu, branch
	return x.Conv(s.param("weight", spec), kernels.Conv{Stride: stride, Pad: k / 2, Groups: 1}, nil)
}

// DepthwiseConv filters every channel by itself.
func DepthwiseConv(s Scope, x *graph.Value, k, stride int) *graph.Value {
	spec := graph.Depthwise(k, x.Last())
	spec.Gain = relu
	return x.Conv(s.param("weight", spec), kernels.Conv{Stride: stride, Pad: k / 2, Groups: x.Last().Size()}, nil)
}

// BatchNorm normalises over all axes but the channels (Ioffe and Szegedy,
// arXiv 1502.03167), with ε = 1e-5.
func BatchNorm(s Scope, x *graph.Value) *graph.Value {
	ch := x.Last()
	state := func(init graph.InitKind, variance bool) graph.ParamSpec {
		v := graph.Vector(ch, init)
		v.State, v.Variance = true, variance
		return v
	}
	return x.BatchNorm(graph.BatchNormParams{
		Gamma:   s.param("weight", graph.Vector(ch, graph.InitOne)),
		Beta:    s.param("bias", graph.Vector(ch, graph.InitZero)),
		RunMean: s.param("running_mean", state(graph.InitZero, false)),
		RunVar:  s.param("running_var", state(graph.InitOne, true)),
		Eps:     1e-5,
	})
}

// LayerNorm normalises the last axis (Ba et al., arXiv 1607.06450).
func LayerNorm(s Scope, x *graph.Value) *graph.Value {
	return x.LayerNorm(s.param("weight", graph.Vector(x.Last(), graph.InitOne)),
		s.param("bias", graph.Vector(x.Last(), graph.InitZero)), 1e-5)
}

// Linear maps the last axis of x to out, with a bias.
func Linear(s Scope, x *graph.Value, out graph.Axis, gain float32) *graph.Value {
	spec := graph.Weight(x.Last(), out)
	spec.Gain = gain
	return x.Linear(s.param("weight", spec), s.param("bias", graph.Vector(out, graph.InitZero)))
}

// LinearReLU is a linear map in front of a ReLU.
func LinearReLU(s Scope, x *graph.Value, out graph.Axis) *graph.Value {
	return Linear(s, x, out, relu).ReLU()
}

// BranchEnd is the last linear map of a residual branch with no norm behind
// it; gain is its initial scale.
func BranchEnd(s Scope, x *graph.Value, out graph.Axis, gain float32) *graph.Value {
	spec := graph.Weight(x.Last(), out)
	spec.Gain, spec.Branch = gain, true
	return x.Linear(s.param("weight", spec), s.param("bias", graph.Vector(out, graph.InitZero)))
}

// Classifier maps to a fixed number of logits, with initial variance
// 1/fan-in²: the output role of the maximal update parametrisation (Yang et
// al., arXiv 2203.03466), which growing keeps up.
func Classifier(s Scope, x *graph.Value, classes int) *graph.Value {
	out := graph.Fixed(classes)
	spec := graph.Weight(x.Last(), out)
	spec.Init = graph.InitOut
	return x.Linear(s.param("weight", spec), s.param("bias", graph.Vector(out, graph.InitZero)))
}

// Embedding looks up rows of a table [n, out] with initial deviation std.
func Embedding(s Scope, index *graph.Value, n int, out graph.Axis, std float32) *graph.Value {
	spec := graph.Weight(graph.Fixed(n), out)
	spec.Init, spec.Gain = graph.InitStd, std
	return index.Gather(s.param("weight", spec))
}

// Positions adds a learned vector to every position: x [B,T,D].
func Positions(s Scope, x *graph.Value, std float32) *graph.Value {
	spec := graph.Weight(x.Axes[1], x.Last())
	spec.Init, spec.Gain = graph.InitStd, std
	return x.Add(s.param("weight", spec))
}

// LSTM is one recurrent layer over x [B,T,D] from a zero state; it returns
// [B,T,out]. Gates are laid out input, forget, cell, output.
func LSTM(s Scope, x *graph.Value, out *graph.Dim) *graph.Value {
	gates := graph.Axis{Dim: out, Outer: 4, Inner: 1}
	if out.Full < 1 {
		panic("nn: lstm without units")
	}
	in := Linear(s.In("ih"), x, gates, 1)
	return in.LSTM(s.param("hh.weight", graph.Weight(out.Axis(), gates)))
}

// SelfAttention is multi-head attention with biases: x [B,T,D] to [B,T,D].
// heads is a Dim or a fixed number of heads of size d each.
func SelfAttention(s Scope, x *graph.Value, heads *graph.Dim, d int, causal bool, gain float32) *graph.Value {
	qkv := Linear(s.In("qkv"), x, graph.Axis{Dim: heads, Outer: 3, Inner: d}, 1)
	return BranchEnd(s.In("proj"), qkv.Attention(heads.Size(), causal), x.Last(), gain)
}
