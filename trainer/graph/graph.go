// Package graph turns a model into a program: it traces the model once at the
// current size of its Dims, checks every shape, derives the gradient, plans
// the memory of a step and has a device compile the result.
//
// A model is written once, for one device, as functions on Values. It never
// mentions growth: it names its widths with [Graph.Dim], and the same code
// traced at other [Sizes] gives the larger or smaller network.
//
//	g := graph.New(graph.Config{Sizes: sizes, Train: true})
//	x := g.Input("x", kernels.F32, batch, 784)
//	w := g.Param("fc.weight", graph.Weight(graph.Fixed(784), hidden.Axis()))
//	…
//	g.Loss(logits, g.Input("y", kernels.I32, batch), 0)
//	g.Backward()
//
// Promises: a program runs a step without allocating; the order of ops, of
// parameters and of gradients is a function of model and sizes alone.
//
// Left to others: layers and initial values (trainer/nn), the loop (trainer),
// computing (kernels).
package graph

import (
	"fmt"
	"slices"

	"github.com/espalier-ml/espalier/kernels"
)

// Config says how a model is traced.
type Config struct {
	Sizes Sizes
	// Train traces batch statistics, dropout and, with Backward, gradients;
	// otherwise the network as it is used for evaluation.
	Train bool
	// Weights, when set, is called for every parameter that a layer declares
	// and may return something else for the layer to use: a masked, shared
	// or quantized weight. It may declare parameters of its own.
	Weights func(g *Graph, p *Param, v *Value) *Value
}

// Graph is a network under construction. Methods panic with a message that
// names op and shapes when a model is wrong; [Trace] turns that into an error.
type Graph struct {
	cfg    Config
	ops    []kernels.Op
	dims   []*Dim
	params []*Param
	states []*Param
	inputs map[string]*Value
	grads  map[*kernels.Tensor]*kernels.Tensor

	loss     *kernels.SoftmaxXent
	logits   *Value
	forward  int // number of forward ops, set by Backward
	dropouts uint32
	stats    []stat
	hooked   bool                                // inside Config.Weights
	standIns map[*kernels.Tensor]*kernels.Tensor // by stand-in: what gets its gradient
	rounds   uint32
	norms    []*Norm
	branches []*Norm
}

// stat ties the batch statistics of one normalisation to its running ones.
type stat struct {
	batch   *kernels.Tensor
	running *Param
	scale   float32 // unbiased over biased
}

// Value is an intermediate result: a tensor whose axes know their Dims.
type Value struct {
	T    *kernels.Tensor
	Axes []Axis
	g    *Graph
	// scaled are the weights that multiply this value since the last
	// normalisation: what variance transfer does to them reaches it.
	scaled []*Param
	param  *Param // set for the weight that a layer uses
	// prepare, of a weight, makes what it multiplies of a layer's input.
	prepare func(x *Value) *Value
	norm    *Norm // set for what a batch norm returns
	mapped  bool  // made by Shortcut
}

// New starts an empty graph.
func New(cfg Config) *Graph {
	return &Graph{cfg: cfg, inputs: map[string]*Value{}, grads: map[*kernels.Tensor]*kernels.Tensor{},
		standIns: map[*kernels.Tensor]*kernels.Tensor{}}
}

// Trace runs build on a new graph and returns a wrong model as an error.
func Trace(cfg Config, build func(g *Graph)) (g *Graph, err error) {
	if err := cfg.Sizes.Check(); err != nil {
		return nil, err
	}
	defer func() {
		switch p := recover().(type) {
		case nil:
		case traceError:
			g, err = nil, error(p)
		default:
			panic(p)
		}
	}()
	g = New(cfg)
	build(g)
	for name := range cfg.Sizes {
		if !slices.ContainsFunc(g.dims, func(d *Dim) bool { return d.Name == name }) {
			return nil, fmt.Errorf("sizes name dim %s, which the model does not have", name)
		}
	}
	return g, nil
}

type traceError struct{ error }

func fail(format string, args ...any) { panic(traceError{fmt.Errorf(format, args...)}) }

// Fail ends the tracing of a model that cannot be built; Trace returns the
// message as its error.
func Fail(format string, args ...any) { fail(format, args...) }

// Train reports whether the graph is traced for training.
func (g *Graph) Train() bool { return g.cfg.Train }

// Dim declares the width called name, of the given size in the finished
// network, and returns it at its current size. Declaring it again returns the
// same Dim.
func (g *Graph) Dim(name string, full int) *Dim {
	for _, d := range g.dims {
		if d.Name == name {
			if d.Full != full {
				fail("dim %s declared with sizes %d and %d", name, d.Full, full)
			}
			return d
		}
	}
	d := &Dim{Name: name, Full: full, Bounds: []int{full}}
	if b, ok := g.cfg.Sizes[name]; ok {
		d.Bounds = slices.Clone(b)
	}
	if d.Size() > full || full < 1 {
		fail("dim %s: size %d exceeds the full size %d", name, d.Size(), full)
	}
	g.dims = append(g.dims, d)
	return d
}

// Dims lists the widths in the order in which the model names them.
func (g *Graph) Dims() []*Dim { return g.dims }

// Input declares data that the caller fills before each run.
func (g *Graph) Input(name string, t kernels.DType, shape ...int) *Value {
	if _, ok := g.inputs[name]; ok {
		fail("input %s declared twice", name)
	}
	axes := make([]Axis, len(shape))
	for i, n := range shape {
		axes[i] = Fixed(n)
	}
	v := g.value(name, t, axes...)
	g.inputs[name] = v
	return v
}

func (g *Graph) value(name string, t kernels.DType, axes ...Axis) *Value {
	return &Value{T: kernels.New(name, t, sizes(axes)...), Axes: axes, g: g}
}

func sizes(axes []Axis) []int {
	s := make([]int, len(axes))
	for i, a := range axes {
		s[i] = a.Size()
	}
	return s
}

func (g *Graph) emit(op kernels.Op) {
	if err := kernels.Check(op); err != nil {
		fail("%w", err)
	}
	g.ops = append(g.ops, op)
}

// Ops is the number of operations so far.
func (g *Graph) Ops() int { return len(g.ops) }

// Forward lists the ops of a graph traced for evaluation, fused as they are
// compiled, in order. They must not be changed.
func (g *Graph) Forward() []kernels.Op {
	if g.cfg.Train {
		fail("forward ops of a training graph")
	}
	if g.forward == 0 {
		g.fuse()
		g.forward = len(g.ops)
	}
	return g.ops
}

// Shape is the value's current shape.
func (v *Value) Shape() []int { return v.T.Shape }

// Last is the value's last axis: its channels or features.
func (v *Value) Last() Axis { return v.Axes[len(v.Axes)-1] }

// Graph is the graph that the value belongs to.
func (v *Value) Graph() *Graph { return v.g }

func (v *Value) String() string { return fmt.Sprintf("%s %v", v.T.Name, v.Axes) }
