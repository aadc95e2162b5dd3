package onnx

import (
	"fmt"
	"slices"

	"github.com/espalier-ml/espalier/kernels"
	"github.com/espalier-ml/espalier/methods/quantize/packed"
	"github.com/espalier-ml/espalier/trainer/graph"
)

// Type is what the weights of packed layers are stored in.
type Type string

// Types.
const (
	Float Type = "float32"
	Int8  Type = "int8" // opset 17
	Int4  Type = "int4" // opset 21; layers of 8 bits stay int8
)

// Options say how a network is written.
type Options struct {
	Name string
	// Values finds a parameter or running statistic by name.
	Values func(name string) ([]float32, bool)
	// Packed, when set, has layers whose integers are written as Type.
	Packed   *packed.Network
	Type     Type
	Metadata [][2]string
}

// Encode writes a network traced for evaluation.
func Encode(g *graph.Graph, o Options) ([]byte, error) {
	opset, ir := 17, 8
	switch o.Type {
	case Float, Int8, "":
	case Int4:
		opset, ir = 21, 10
	default:
		return nil, fmt.Errorf("onnx: type %q: want float32, int8 or int4", o.Type)
	}
	c := &converter{builder: newBuilder(opset), o: &o}
	ops := g.Forward()
	if err := c.take(g, &o); err != nil {
		return nil, fmt.Errorf("onnx: %w", err)
	}
	x, loss, err := ends(ops)
	if err != nil {
		return nil, fmt.Errorf("onnx: %w", err)
	}
	c.plain[x] = "x"
	for i, op := range ops {
		if err := c.convert(op, ops[i+1:]); err != nil {
			return nil, fmt.Errorf("onnx: op %d of the network, %T: %w", i, op, err)
		}
	}
	logits := loss.Logits.Root()
	last, err := c.input(logits)
	if err != nil {
		return nil, fmt.Errorf("onnx: %w", err)
	}
	c.emit("Identity", []string{last}, "logits")
	kind := typeFloat
	if x.DType == kernels.I32 {
		kind = typeInt64
	}
	var m message
	for _, n := range c.nodes {
		m.bytes(1, n)
	}
	m.text(2, o.Name)
	for _, t := range c.constants {
		m.bytes(5, t)
	}
	m.bytes(11, value("x", kind, x.Shape))
	m.bytes(12, value("logits", typeFloat, logits.Shape))
	return model(m, ir, opset, o.Metadata), nil
}

// take finds the values of all parameters.
func (c *converter) take(g *graph.Graph, o *Options) error {
	for _, p := range slices.Concat(g.Params(), g.States()) {
		if o.Packed != nil {
			if v, ok := o.Packed.Values[p.Name]; ok {
				c.params[p.W] = v
			}
			continue // what is packed or folded has none
		}
		v, ok := o.Values(p.Name)
		if !ok || len(v) != p.W.Len() {
			return fmt.Errorf("%d values of %v, want %d", len(v), p, p.W.Len())
		}
		c.params[p.W] = v
	}
	return nil
}

// ends finds the network's input and its loss.
func ends(ops []kernels.Op) (x *kernels.Tensor, loss *kernels.SoftmaxXent, err error) {
	made := map[*kernels.Tensor]bool{}
	for _, op := range ops {
		if l, ok := op.(*kernels.SoftmaxXent); ok {
			loss = l
			continue
		}
		for _, t := range op.Inputs() {
			if r := t.Root(); r.Name == "x" && !made[r] {
				x = r
			}
		}
		for _, t := range op.Outputs() {
			made[t.Root()] = true
		}
	}
	if x == nil || loss == nil {
		return nil, nil, fmt.Errorf("the network has no input x, or no loss")
	}
	return x, loss, nil
}
