package graph

import (
	"slices"

	"github.com/espalier-ml/espalier/kernels"
)

// This file holds what a method needs that computes with other numbers than
// those it trains: see Config.Weights.

// StandIn puts q, a State shaped like v, in the place of v: the network
// computes with q, and the gradient by q counts as that by v, which passes
// straight through (Bengio et al., arXiv 1308.3432). A method sets q between
// steps.
func (v *Value) StandIn(q *Value) *Value {
	if !slices.EqualFunc(v.Axes, q.Axes, Axis.same) {
		fail("%v cannot stand in for %v", q, v)
	}
	v.g.standIns[q.T] = v.T
	return &Value{T: q.T, Axes: v.Axes, g: v.g, scaled: v.scaled, prepare: v.prepare}
}

// Prepare has f applied to whatever the weight v multiplies.
func (v *Value) Prepare(f func(x *Value) *Value) *Value {
	w := *v
	w.prepare = f
	return &w
}

func (v *Value) prepared(x *Value) *Value {
	if v.prepare == nil {
		return x
	}
	return v.prepare(x)
}

// FakeQuant gives every row of x a step of its own and, as mode says, rounds to
// it: see kernels.FakeQuant. An image [H,W,C] is one row, else the last axis
// is. mode is a State of one number.
func (x *Value) FakeQuant(mode *Value, bits int) *Value {
	rows := x.T.Rows()
	if len(x.Axes) == 4 {
		rows = x.T.Dim(0)
	}
	y := x.like("rounded")
	x.g.emit(&kernels.FakeQuant{X: x.T, Y: y.T, Mode: mode.T, Rows: rows, Bits: bits, ID: x.g.rounds})
	x.g.rounds++
	return y
}
