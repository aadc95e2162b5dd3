package graph

import (
	"slices"

	"github.com/espalier-ml/espalier/kernels"
)

// Act applies a pointwise function.
func (x *Value) Act(fn kernels.Act) *Value {
	y := x.like(fn.String())
	x.g.emit(&kernels.Unary{X: x.T, Y: y.T, Fn: fn})
	return y
}

// ReLU is max(0, x).
func (x *Value) ReLU() *Value { return x.Act(kernels.ReLU) }

func (x *Value) like(name string) *Value {
	y := x.g.value(name, kernels.F32, x.Axes...)
	y.scaled = x.scaled
	return y
}

// Add is a + b. b has a's axes or those that a's end with.
func (a *Value) Add(b *Value) *Value { return a.binary(b, kernels.Add) }

// Sub is a - b, with b as in Add.
func (a *Value) Sub(b *Value) *Value { return a.binary(b, kernels.Sub) }

// Mul is the pointwise product, with b as in Add.
func (a *Value) Mul(b *Value) *Value { return a.binary(b, kernels.Mul) }

func (a *Value) binary(b *Value, fn kernels.BinFn) *Value {
	tail := a.Axes[max(0, len(a.Axes)-len(b.Axes)):]
	if len(b.Axes) > len(a.Axes) || !slices.EqualFunc(tail, b.Axes, Axis.same) {
		fail("%v: %v and %v differ", fn, a, b)
	}
	y := a.like(fn.String())
	a.g.emit(&kernels.Binary{A: a.T, B: b.T, Y: y.T, Fn: fn})
	if fn == kernels.Add && len(a.Axes) == len(b.Axes) {
		a.noteBranch(b)
		b.noteBranch(a)
	}
	return y
}

// noteBranch remembers that a norm's output is added to an identity.
func (v *Value) noteBranch(identity *Value) {
	if v.norm != nil && identity.norm == nil && !identity.mapped {
		v.g.branches = append(v.g.branches, v.norm)
	}
}

// Scale is alpha·x.
func (x *Value) Scale(alpha float32) *Value {
	y := x.like("scale")
	x.g.emit(&kernels.Axpby{X: x.T, Y: y.T, Alpha: alpha})
	return y
}

// Dropout sets a fraction p of the entries to zero and scales the rest by
// 1/(1-p). It does nothing outside of training or with p = 0.
func (x *Value) Dropout(p float32) *Value {
	if !x.g.cfg.Train || p == 0 {
		return x
	}
	y := x.like("dropout")
	x.g.emit(&kernels.Dropout{X: x.T, Y: y.T, P: p, ID: x.g.dropouts})
	x.g.dropouts++
	return y
}

// Reshape gives the same data other axes.
func (x *Value) Reshape(axes ...Axis) *Value {
	return &Value{T: x.T.View(0, sizes(axes)...), Axes: axes, g: x.g, scaled: x.scaled}
}

// Flatten makes rows of all axes but the first: x [N,H,W,C] becomes
// [N, H·W·C] with the channels' Dim kept.
func (x *Value) Flatten() *Value {
	a, outer := x.Last(), 1
	for _, b := range x.Axes[1 : len(x.Axes)-1] {
		outer *= b.Size()
	}
	a.Outer *= outer
	return x.Reshape(x.Axes[0], a)
}

// Transpose permutes axes: axis i of the result is axis perm[i] of x.
func (x *Value) Transpose(perm ...int) *Value {
	axes := make([]Axis, len(perm))
	for i, p := range perm {
		axes[i] = x.Axes[p]
	}
	y := x.g.value("transpose", kernels.F32, axes...)
	y.scaled = x.scaled
	x.g.emit(&kernels.Transpose{X: x.T, Y: y.T, Perm: perm})
	return y
}

// Slice takes n entries from entry `from` on of a fixed axis.
func (x *Value) Slice(axis, from, n int) *Value {
	if x.Axes[axis].Dim != nil {
		fail("slice: axis %d of %v is a Dim", axis, x)
	}
	axes := slices.Clone(x.Axes)
	axes[axis] = Fixed(n)
	y := x.g.value("slice", kernels.F32, axes...)
	x.g.emit(&kernels.Slab{X: x.T, Y: y.T, Axis: axis, From: from, Len: n})
	return y
}

// Concat joins values along a fixed axis.
func Concat(axis int, xs ...*Value) *Value {
	axes := slices.Clone(xs[0].Axes)
	n := 0
	for _, x := range xs {
		if x.Axes[axis].Dim != nil {
			fail("concat: axis %d of %v is a Dim", axis, x)
		}
		n += x.Axes[axis].Size()
	}
	axes[axis] = Fixed(n)
	y := xs[0].g.value("concat", kernels.F32, axes...)
	to := 0
	for _, x := range xs {
		k := x.Axes[axis].Size()
		x.g.emit(&kernels.Slab{X: x.T, Y: y.T, Axis: axis, To: to, Len: k})
		to += k
	}
	return y
}

// Sum and Mean reduce one axis away.
func (x *Value) Sum(axis int) *Value { return x.reduce(axis, false) }

// Mean is the mean over one axis.
func (x *Value) Mean(axis int) *Value { return x.reduce(axis, true) }

func (x *Value) reduce(axis int, mean bool) *Value {
	y := x.g.value("reduce", kernels.F32, slices.Delete(slices.Clone(x.Axes), axis, axis+1)...)
	y.scaled = x.scaled
	x.g.emit(&kernels.Reduce{X: x.T, Y: y.T, Axis: axis, Mean: mean})
	return y
}

// MaxPool and AvgPool pool x [N,H,W,C] over square windows.
func (x *Value) MaxPool(window, stride, pad int) *Value { return x.pool(window, stride, pad, true) }

// AvgPool averages over square windows; padding does not count.
func (x *Value) AvgPool(window, stride, pad int) *Value { return x.pool(window, stride, pad, false) }

func (x *Value) pool(window, stride, pad int, maxPool bool) *Value {
	c := kernels.Conv{Stride: stride, Pad: pad}
	axes := []Axis{x.Axes[0], Fixed(c.Out(x.Axes[1].Size(), window)), Fixed(c.Out(x.Axes[2].Size(), window)), x.Last()}
	y := x.g.value("pool", kernels.F32, axes...)
	y.scaled = x.scaled
	op := &kernels.Pool{X: x.T, Y: y.T, Max: maxPool, Window: window, Stride: stride, Pad: pad}
	if maxPool {
		op.Where = x.g.value("pool.where", kernels.U8, axes...).T
	}
	x.g.emit(op)
	return y
}

// GlobalPool is the mean over H and W: [N,H,W,C] becomes [N,C].
func (x *Value) GlobalPool() *Value {
	y := x.g.value("globalpool", kernels.F32, x.Axes[0], x.Last())
	y.scaled = x.scaled
	x.g.emit(&kernels.GlobalPool{X: x.T, Y: y.T})
	return y
}

// Shortcut carries x [N,H,W,C] to the channels of another Dim without
// parameters, taking every stride-th pixel (He et al., option A). Channels
// that were added in the same stage are carried to each other in order; the
// channels that nothing is carried to are zero.
func (x *Value) Shortcut(to *Dim, stride int) *Value {
	from := x.Last().Dim
	if from == nil {
		fail("shortcut: the channels of %v are no Dim", x)
	}
	c := kernels.Conv{Stride: stride}
	y := x.g.value("shortcut", kernels.F32, x.Axes[0],
		Fixed(c.Out(x.Axes[1].Size(), 1)), Fixed(c.Out(x.Axes[2].Size(), 1)), to.Axis())
	x.g.emit(&kernels.ChannelMap{X: x.T, Y: y.T, Stride: stride, Map: channelMap(from, to)})
	y.scaled, y.mapped = x.scaled, true
	from.Carried, to.Carried = true, true
	return y
}

// channelMap maps the o-th channel of every stage of `to` to the o-th channel
// of the same stage of `from`, -1 where that stage added fewer. Growth adds
// channels in pairs; a last channel without a partner is not carried into one
// that has one.
func channelMap(from, to *Dim) []int32 {
	m := make([]int32, to.Size())
	start := func(d *Dim, k int) int {
		if k == 0 {
			return 0
		}
		return d.Bounds[min(k, len(d.Bounds))-1]
	}
	for i := range m {
		k := to.Block(i)
		j := start(from, k) + i - start(to, k)
		m[i] = -1
		if k >= len(from.Bounds) || j >= from.Bounds[k] {
			continue
		}
		single := j == from.Bounds[k]-1 && (j-start(from, k))%2 == 0
		if k == 0 || !single || i == to.Bounds[k]-1 {
			m[i] = int32(j)
		}
	}
	return m
}
