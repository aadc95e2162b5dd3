package onnx

import (
	"fmt"
	"math"
	"slices"

	"github.com/espalier-ml/espalier/kernels"
	"github.com/espalier-ml/espalier/kernels/lowbit"
	"github.com/espalier-ml/espalier/methods/quantize/packed"
)

// packed emits an op as a packed layer where it is one.
func (c *converter) packed(op kernels.Op, rest []kernels.Op) (done bool, err error) {
	if c.o.Packed == nil {
		return false, nil
	}
	switch o := op.(type) {
	case *kernels.MatMul:
		l := c.o.Packed.Layer(o.B.Name)
		if l == nil {
			return false, nil
		}
		x, err := c.input(o.A)
		if err != nil {
			return true, err
		}
		if c.o.Type == Int8 || c.o.Type == Int4 {
			x = c.round(x, l.Activations, -1)
		}
		y := c.bias(c.add("MatMul", []string{x, c.weight(l)}), l.Bias, false)
		return true, c.finish(l, o.C, c.act(o.Act, y), rest)
	case *kernels.Conv2D:
		l := c.o.Packed.Layer(o.W.Name)
		if l == nil {
			return false, nil
		}
		x, err := c.image(o.X)
		if err != nil {
			return true, err
		}
		if c.o.Type == Int8 || c.o.Type == Int4 {
			x = c.round(x, l.Activations, 1, 2, 3)
		}
		y := c.add("Conv", []string{x, c.weight(l), c.constant("bias", l.Bias, len(l.Bias))}, geometry(o.Conv, l.Side)...)
		return true, c.finish(l, o.Y, c.act(o.Act, y), rest)
	}
	return false, nil
}

// finish names a packed layer's output; where a norm was folded into it, it is
// what the norm would make.
func (c *converter) finish(l *packed.Layer, y *kernels.Tensor, name string, rest []kernels.Op) error {
	if l.Norm == "" {
		c.set(y, name)
		return nil
	}
	for _, op := range rest {
		if b, ok := op.(*kernels.BatchNormInfer); ok && b.X == y && b.Gamma.Name == l.Norm {
			if c.folded == nil {
				c.folded = map[kernels.Op]string{}
			}
			c.folded[b] = name
			return nil
		}
	}
	return fmt.Errorf("batch norm %s is not behind layer %s", l.Norm, l.Name)
}

// round rounds x to multiples of its largest magnitude over 127 or 7, apart
// for every index on the axes that are not named.
func (c *converter) round(x string, bits int, axes ...int) string {
	most := c.reduce("ReduceMax", c.add("Abs", []string{x}), axes...)
	delta := c.add("Div", []string{most, c.scalar(float32(lowbit.Largest(bits)))})
	safe := c.add("Max", []string{delta, c.scalar(math.SmallestNonzeroFloat32 * (1 << 23))}) // x is 0 where delta is
	return c.add("Mul", []string{c.add("Round", []string{c.add("Div", []string{x, safe})}), safe})
}

// weight emits a layer's weight in the layout of its op: [in,out], or
// [out,in,side,side].
func (c *converter) weight(l *packed.Layer) string {
	shape, order := []int{l.Channels, l.Outs}, []int{0, 1}
	if l.Side > 0 {
		shape, order = []int{l.Side, l.Side, l.Channels, l.Outs}, []int{3, 2, 0, 1}
	}
	if c.o.Type == Float || c.o.Type == "" {
		v, dims := permuted(l.Weight(), shape, order)
		name := l.Name
		c.constants = append(c.constants, tensor(name, typeFloat, dims, floats(v)))
		return name
	}
	in, out := 0, 1
	if l.Side > 0 {
		in, out = 1, 0
	}
	var parts []string
	var channels []int
	for _, s := range split(l, c.o.Type) {
		n := append([]int{}, shape...)
		n[len(n)-2] = len(s.channels)
		v, dims := permuted(s.values, n, order)
		parts = append(parts, c.dequantized(l, s, v, dims, out))
		channels = append(channels, s.channels...)
	}
	if len(parts) == 1 {
		return parts[0]
	}
	all := c.add("Concat", parts, attr{"axis", in})
	return c.add("Gather", []string{all, c.integers(reversed(channels)...)}, attr{"axis", in})
}

// slice is the integers of some channels under one factor of the scales.
type slice struct {
	channels []int
	values   []float32 // integers, [taps][channels][outs]
	factor   float64   // of an output's scale M
	half     bool      // integers are codes q; 2q+1 times half the step is meant
	kind     int
}

// split arranges a layer's integers for a type.
func split(l *packed.Layer, t Type) (all []slice) {
	var low []slice // up to 4 bits, in int8: all multiples of M/16
	for i := range l.Groups {
		g := &l.Groups[i]
		s := slice{channels: g.Channels, values: l.Integers(g), kind: typeInt8}
		switch {
		case g.Levels == 8:
			s.factor = 1.0 / 127
		case t == Int8:
			for i := range s.values {
				s.values[i] *= float32(int(1) << (4 - g.Levels))
			}
			low = append(low, s)
			continue
		case g.Levels == 4 && g.Matrix.Bits == 4:
			for i, o := range s.values {
				s.values[i] = (o - 1) / 2
			}
			s.factor, s.half, s.kind = 1.0/8, true, typeInt4
		default:
			s.factor = math.Ldexp(1, -g.Levels)
			if g.Levels < 4 { // else, with weights removed, odd integers and 0 up to 15
				s.kind = typeInt4
			}
		}
		all = append(all, s)
	}
	if low != nil {
		all = append(all, merged(low, l.Outs))
	}
	return all
}

// merged is the channels of all slices in rising order.
func merged(low []slice, outs int) slice {
	m := slice{factor: 1.0 / 16, kind: typeInt8}
	from := map[int][2]int{} // channel: slice and place in it
	taps := 0
	for i, s := range low {
		for k, c := range s.channels {
			from[c] = [2]int{i, k}
		}
		m.channels = append(m.channels, s.channels...)
		taps = len(s.values) / (len(s.channels) * outs)
	}
	slices.Sort(m.channels)
	for t := range taps {
		for _, c := range m.channels {
			s, k := low[from[c][0]], from[c][1]
			m.values = append(m.values, s.values[(t*len(s.channels)+k)*outs:][:outs]...)
		}
	}
	return m
}

// dequantized emits integers and what turns them into weights.
func (c *converter) dequantized(l *packed.Layer, s slice, v []float32, dims []int, axis int) string {
	name := c.name(l.Name)
	raw := make([]byte, len(v))
	for i, x := range v {
		raw[i] = byte(int8(x))
	}
	if s.kind == typeInt4 {
		raw = nibbles(raw)
	}
	c.constants = append(c.constants, tensor(name, s.kind, dims, raw))
	scale := make([]float32, l.Outs)
	for i, m := range l.Scale {
		scale[i] = float32(float64(m) * s.factor)
	}
	w := c.add("DequantizeLinear", []string{name, c.constant("scale", scale, l.Outs)}, attr{"axis", axis})
	if !s.half {
		return w
	}
	shape := make([]int, len(dims))
	for i := range shape {
		shape[i] = 1
	}
	shape[axis] = l.Outs
	for i := range scale {
		scale[i] /= 2
	}
	return c.add("Add", []string{w, c.constant("half", scale, shape...)})
}

// nibbles packs two integers a byte, the first one low.
func nibbles(v []byte) []byte {
	out := make([]byte, (len(v)+1)/2)
	for i, x := range v {
		out[i/2] |= x & 15 << (i % 2 * 4)
	}
	return out
}
