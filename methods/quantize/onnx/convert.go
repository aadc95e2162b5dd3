package onnx

import (
	"fmt"
	"math"

	"github.com/espalier-ml/espalier/kernels"
)

// converter turns ops into nodes.
type converter struct {
	*builder
	o      *Options
	folded map[kernels.Op]string // norms that a packed layer stands in front of: its output
}

// convert emits one op; rest are those behind it.
func (c *converter) convert(op kernels.Op, rest []kernels.Op) error {
	if done, err := c.packed(op, rest); done || err != nil {
		return err
	}
	switch o := op.(type) {
	case *kernels.MatMul:
		return c.matmul(o)
	case *kernels.Conv2D:
		return c.conv(o)
	case *kernels.BatchNormInfer:
		return c.batchNorm(o)
	case *kernels.LayerNorm:
		return c.layerNorm(o)
	case *kernels.Attention:
		return c.attention(o)
	case *kernels.Gather:
		return c.gather(o)
	case *kernels.Unary:
		x, err := c.operand(o.X)
		if err == nil {
			c.set(o.Y, c.act(o.Fn, x))
		}
		return err
	case *kernels.Binary:
		return c.binary(o)
	case *kernels.Axpby:
		x, err := c.operand(o.X)
		if err == nil && o.Beta == 0 {
			c.set(o.Y, c.add("Mul", []string{x, c.scalar(o.Alpha)}))
			return nil
		}
		return cmpErr(err, "accumulation")
	case *kernels.Transpose:
		x, err := c.input(o.X)
		if err == nil {
			c.plain[o.Y] = c.add("Transpose", []string{x}, attr{"perm", o.Perm})
		}
		return err
	case *kernels.Softmax:
		x, err := c.input(o.X)
		if err == nil {
			c.plain[o.Y] = c.add("Softmax", []string{x}, attr{"axis", -1})
		}
		return err
	case *kernels.SoftmaxXent:
		return nil // the file ends with the logits
	}
	return c.convertImage(op)
}

// cmpErr is err, or that something has no counterpart.
func cmpErr(err error, what string) error {
	if err != nil {
		return err
	}
	return fmt.Errorf("%s has no counterpart in ONNX here", what)
}

func (c *converter) convertImage(op kernels.Op) error {
	switch o := op.(type) {
	case *kernels.Pool:
		x, err := c.image(o.X)
		if err != nil {
			return err
		}
		name, attrs := "MaxPool", []attr{{"kernel_shape", []int{o.Window, o.Window}}, {"strides", []int{o.Stride, o.Stride}}, {"pads", []int{o.Pad, o.Pad, o.Pad, o.Pad}}}
		if !o.Max {
			name, attrs = "AveragePool", append(attrs, attr{"count_include_pad", 0})
		}
		c.set(o.Y, c.add(name, []string{x}, attrs...))
		return nil
	case *kernels.GlobalPool:
		x, err := c.image(o.X)
		if err == nil {
			c.plain[o.Y] = c.add("Flatten", []string{c.add("GlobalAveragePool", []string{x})}, attr{"axis", 1})
		}
		return err
	case *kernels.ChannelMap:
		return c.channelMap(o)
	}
	return fmt.Errorf("it is not known to this exporter")
}

// act applies a pointwise function.
func (c *converter) act(fn kernels.Act, x string) string {
	switch fn {
	case kernels.ReLU:
		return c.add("Relu", []string{x})
	case kernels.Tanh:
		return c.add("Tanh", []string{x})
	case kernels.Sigmoid:
		return c.add("Sigmoid", []string{x})
	case kernels.SiLU:
		return c.add("Mul", []string{x, c.add("Sigmoid", []string{x})})
	case kernels.GELU: // ½x(1 + tanh(√(2/π)(x + 0.044715x³)))
		cube := c.add("Mul", []string{c.add("Mul", []string{x, x}), x})
		inner := c.add("Add", []string{x, c.add("Mul", []string{cube, c.scalar(0.044715)})})
		t := c.add("Tanh", []string{c.add("Mul", []string{inner, c.scalar(0.7978845608)})})
		return c.add("Mul", []string{c.add("Mul", []string{x, c.scalar(0.5)}), c.add("Add", []string{t, c.scalar(1)})})
	}
	return x
}

// bias adds a vector over the last axis, or over the channels of an image.
func (c *converter) bias(y string, v []float32, image bool) string {
	if image {
		return c.add("Add", []string{y, c.constant("bias", v, len(v), 1, 1)})
	}
	return c.add("Add", []string{y, c.constant("bias", v, len(v))})
}

func (c *converter) matmul(o *kernels.MatMul) error {
	if o.TransA || o.Acc {
		return cmpErr(nil, "a transposed or accumulated product")
	}
	a, err := c.input(o.A)
	if err != nil {
		return err
	}
	b, err := c.input(o.B)
	if err != nil {
		return err
	}
	if o.TransB {
		perm := []int{1, 0}
		if len(o.B.Shape) == 3 {
			perm = []int{0, 2, 1}
		}
		b = c.add("Transpose", []string{b}, attr{"perm", perm})
	}
	y := c.add("MatMul", []string{a, b})
	if o.Alpha != 0 && o.Alpha != 1 {
		y = c.add("Mul", []string{y, c.scalar(o.Alpha)})
	}
	if o.Bias != nil {
		y = c.bias(y, c.params[o.Bias], false)
	}
	c.plain[o.C] = c.act(o.Act, y)
	return nil
}

// geometry are the attributes of a convolution.
func geometry(o kernels.Conv, side int) []attr {
	return []attr{{"kernel_shape", []int{side, side}}, {"strides", []int{o.Stride, o.Stride}}, {"pads", []int{o.Pad, o.Pad, o.Pad, o.Pad}}, {"group", o.Groups}}
}

func (c *converter) conv(o *kernels.Conv2D) error {
	x, err := c.image(o.X)
	if err != nil {
		return err
	}
	v, ok := c.params[o.W]
	if !ok {
		return fmt.Errorf("weight %v is no parameter", o.W)
	}
	w := c.transposed[o.W]
	if w == "" {
		values, dims := permuted(v, o.W.Shape, []int{3, 2, 0, 1})
		w = o.W.Name
		c.constants = append(c.constants, tensor(w, typeFloat, dims, floats(values)))
		c.transposed[o.W] = w
	}
	in := []string{x, w}
	if o.Bias != nil {
		b, err := c.input(o.Bias)
		if err != nil {
			return err
		}
		in = append(in, b)
	}
	c.set(o.Y, c.act(o.Act, c.add("Conv", in, geometry(o.Conv, o.W.Dim(0))...)))
	return nil
}

func (c *converter) batchNorm(o *kernels.BatchNormInfer) error {
	y, known := c.folded[o]
	if !known {
		x, err := c.operand(o.X)
		if err != nil {
			return err
		}
		in := []string{x}
		for _, t := range []*kernels.Tensor{o.Gamma, o.Beta, o.Mean, o.Var} {
			s, err := c.input(t)
			if err != nil {
				return err
			}
			in = append(in, s)
		}
		y = c.add("BatchNormalization", in, attr{"epsilon", o.Eps})
	}
	if o.Residual != nil {
		r, err := c.operand(o.Residual)
		if err != nil {
			return err
		}
		y = c.add("Add", []string{y, r})
	}
	if o.ReLU {
		y = c.act(kernels.ReLU, y)
	}
	c.set(o.Y, y)
	return nil
}

func (c *converter) layerNorm(o *kernels.LayerNorm) error {
	x, err := c.input(o.X)
	if err != nil {
		return err
	}
	gamma, err := c.input(o.Gamma)
	if err != nil {
		return err
	}
	if o.RMS {
		square := c.mean(c.add("Mul", []string{x, x}))
		root := c.add("Sqrt", []string{c.add("Add", []string{square, c.scalar(o.Eps)})})
		c.plain[o.Y] = c.add("Mul", []string{c.add("Div", []string{x, root}), gamma})
		return nil
	}
	beta, err := c.input(o.Beta)
	if err == nil {
		c.plain[o.Y] = c.add("LayerNormalization", []string{x, gamma, beta}, attr{"axis", -1}, attr{"epsilon", o.Eps})
	}
	return err
}

// mean is the mean over the last axis, which stays with length 1.
func (c *converter) mean(x string) string { return c.reduce("ReduceMean", x, -1) }

// reduce reduces axes that stay with length 1. They became an input in opset 18.
func (c *converter) reduce(op, x string, axes ...int) string {
	if c.opset >= 18 {
		return c.add(op, []string{x, c.integers(axes...)}, attr{"keepdims", 1})
	}
	return c.add(op, []string{x}, attr{"axes", axes}, attr{"keepdims", 1})
}

func (c *converter) gather(o *kernels.Gather) error {
	table, err := c.input(o.Table)
	if err != nil {
		return err
	}
	x, err := c.input(o.Index)
	if err == nil {
		c.plain[o.Y] = c.add("Gather", []string{table, x}, attr{"axis", 0})
	}
	return err
}

func (c *converter) binary(o *kernels.Binary) error {
	name := [...]string{"Add", "Sub", "Mul"}[o.Fn]
	a, err := c.operand(o.A)
	if err != nil {
		return err
	}
	if isImage(o.A) && !isImage(o.B) {
		if len(o.B.Shape) != 1 {
			return cmpErr(nil, fmt.Sprintf("%v beside an image", o.B))
		}
		b, err := c.input(o.B)
		if err == nil {
			c.set(o.Y, c.add(name, []string{a, c.add("Reshape", []string{b, c.integers(o.B.Len(), 1, 1)})}))
		}
		return err
	}
	b, err := c.operand(o.B)
	if err == nil {
		c.set(o.Y, c.add(name, []string{a, b}))
	}
	return err
}

// channelMap takes every stride-th pixel and gathers channels, those that
// nothing is mapped to from a channel of zeros behind the others.
func (c *converter) channelMap(o *kernels.ChannelMap) error {
	x, err := c.image(o.X)
	if err != nil {
		return err
	}
	if o.Stride > 1 {
		x = c.add("Slice", []string{x, c.integers(0, 0), c.integers(math.MaxInt32, math.MaxInt32), c.integers(2, 3), c.integers(o.Stride, o.Stride)})
	}
	x = c.add("Pad", []string{x, c.integers(0, 0, 0, 0, 0, 1, 0, 0)})
	from := make([]int, len(o.Map))
	for i, k := range o.Map {
		if from[i] = int(k); k < 0 {
			from[i] = o.X.Dim(3)
		}
	}
	c.set(o.Y, c.add("Gather", []string{x, c.integers(from...)}, attr{"axis", 1}))
	return nil
}

// attention is softmax(q·kᵀ/√d)·v of every head.
func (c *converter) attention(o *kernels.Attention) error {
	x, err := c.input(o.QKV)
	if err != nil {
		return err
	}
	t, heads := o.QKV.Dim(1), o.Heads
	d := o.O.Dim(2) / heads
	x = c.add("Reshape", []string{x, c.integers(-1, t, 3, heads, d)})
	part := func(i int, perm ...int) string {
		p := c.add("Gather", []string{x, c.index(i)}, attr{"axis", 2}) // [N,T,H,D]
		return c.add("Transpose", []string{p}, attr{"perm", perm})
	}
	q, k, v := part(0, 0, 2, 1, 3), part(1, 0, 2, 3, 1), part(2, 0, 2, 1, 3)
	s := c.add("Mul", []string{c.add("MatMul", []string{q, k}), c.scalar(float32(1 / math.Sqrt(float64(d))))})
	if o.Causal {
		mask := make([]float32, t*t)
		for i := range t {
			for j := i + 1; j < t; j++ {
				mask[i*t+j] = -math.MaxFloat32
			}
		}
		s = c.add("Add", []string{s, c.constant("mask", mask, t, t)})
	}
	y := c.add("MatMul", []string{c.add("Softmax", []string{s}, attr{"axis", -1}), v})
	y = c.add("Transpose", []string{y}, attr{"perm", []int{0, 2, 1, 3}})
	c.plain[o.O] = c.add("Reshape", []string{y, c.integers(-1, t, heads*d)})
	return nil
}

// index is an integer without axes.
func (c *converter) index(i int) string {
	name := c.name("index")
	c.constants = append(c.constants, tensor(name, typeInt64, nil, ints([]int{i})))
	return name
}

func reversed(perm []int) []int {
	inv := make([]int, len(perm))
	for i, p := range perm {
		inv[p] = i
	}
	return inv
}
