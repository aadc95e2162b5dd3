package graph

import (
	"fmt"
	"maps"
	"slices"
)

// Dim is a named width: the unit in which a network changes. Every axis of a
// parameter that may grow or shrink refers to one; a residual stream is one
// Dim shared by all that write to it and read from it.
type Dim struct {
	Name string
	Full int // size of the finished network

	// Bounds are the sizes after each growth stage so far; the last one is
	// the current size. Index i was added in stage Block(i).
	Bounds []int

	// Carried tells that a shortcut without parameters carries its units by
	// their numbers: they cannot be selected one by one.
	Carried bool
}

// Size is the current size.
func (d *Dim) Size() int { return d.Bounds[len(d.Bounds)-1] }

// Block is the stage in which index i was added.
func (d *Dim) Block(i int) int {
	for k, b := range d.Bounds {
		if i < b {
			return k
		}
	}
	panic(fmt.Sprintf("graph: dim %s: index %d of %d", d.Name, i, d.Size()))
}

// Axis is one axis of a value or parameter. With a Dim, it has
// Outer·Dim.Size()·Inner entries laid out in that order: the heads of
// attention have Outer 3 (q, k, v) and Inner the size of a head, the gates of
// an LSTM Outer 4. Without a Dim it has the fixed size Inner.
type Axis struct {
	Dim          *Dim
	Outer, Inner int
}

// Fixed is an axis of constant size.
func Fixed(n int) Axis { return Axis{Outer: 1, Inner: n} }

// Axis is the plain axis of a Dim.
func (d *Dim) Axis() Axis { return Axis{Dim: d, Outer: 1, Inner: 1} }

// Size is the number of entries.
func (a Axis) Size() int {
	if a.Dim == nil {
		return a.Outer * a.Inner
	}
	return a.Outer * a.Dim.Size() * a.Inner
}

// Unit is the Dim index of entry i, or 0 on a fixed axis.
func (a Axis) Unit(i int) int {
	if a.Dim == nil {
		return 0
	}
	return i / a.Inner % a.Dim.Size()
}

// Blocks is the stage of every entry, or nil when all are of stage 0.
func (a Axis) Blocks() []int32 {
	if a.Dim == nil || len(a.Dim.Bounds) == 1 {
		return nil
	}
	b := make([]int32, a.Size())
	for i := range b {
		b[i] = int32(a.Dim.Block(a.Unit(i)))
	}
	return b
}

// Stages is the number of growth stages that the axis has seen, at least 1.
func (a Axis) Stages() int {
	if a.Dim == nil {
		return 1
	}
	return len(a.Dim.Bounds)
}

// same reports whether two axes mean the same thing, not merely the same size.
func (a Axis) same(b Axis) bool {
	if a.Dim == nil || b.Dim == nil {
		return a.Dim == b.Dim && a.Size() == b.Size()
	}
	return a.Dim.Name == b.Dim.Name && a.Outer == b.Outer && a.Inner == b.Inner
}

func (a Axis) String() string {
	switch {
	case a.Dim == nil:
		return fmt.Sprint(a.Size())
	case a.Outer == 1 && a.Inner == 1:
		return fmt.Sprintf("%s=%d", a.Dim.Name, a.Dim.Size())
	}
	return fmt.Sprintf("%d·%s·%d=%d", a.Outer, a.Dim.Name, a.Inner, a.Size())
}

// Sizes is the current shape of a network: the bounds of every Dim by name.
// Together with the model it determines every tensor. A Dim that is not
// listed has its full size.
type Sizes map[string][]int

// Clone returns a deep copy.
func (s Sizes) Clone() Sizes {
	c := make(Sizes, len(s))
	for k, v := range s {
		c[k] = slices.Clone(v)
	}
	return c
}

// Names lists the Dims in a fixed order.
func (s Sizes) Names() []string { return slices.Sorted(maps.Keys(s)) }

// Equal reports whether two shapes are the same, history included.
func (s Sizes) Equal(t Sizes) bool {
	return maps.EqualFunc(s, t, func(a, b []int) bool { return slices.Equal(a, b) })
}

// Check refuses bounds that are empty, fall, or end below 1. A stage whose
// units are all gone adds none: its bound may be 0.
func (s Sizes) Check() error {
	for _, n := range s.Names() {
		b := s[n]
		if len(b) == 0 {
			return fmt.Errorf("dim %s: no size", n)
		}
		for i, v := range b {
			if v < 0 || i > 0 && v < b[i-1] || b[len(b)-1] < 1 {
				return fmt.Errorf("dim %s: sizes %v: want positive and never falling", n, b)
			}
		}
	}
	return nil
}
