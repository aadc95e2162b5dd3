package kernels

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// Check says what is wrong with an op: a missing operand, a type, shape or
// attribute that does not fit the op's definition, or an output that shares
// memory with another operand. Only pointwise ops may work in place, on
// exactly the same elements. Operands need not be placed; where they are,
// their memory is compared as well. An op that passes is safe to lower.
func Check(op Op) error {
	o, ok := op.(interface{ check(c *checker) })
	if !ok {
		return fmt.Errorf("kernels: %T is no operation of this package", op)
	}
	c := &checker{op: strings.ToLower(strings.TrimPrefix(fmt.Sprintf("%T", op), "*kernels."))}
	o.check(c)
	c.aliases()
	return c.err
}

// maxLen bounds a tensor's elements, so that sizes in bytes cannot overflow.
const maxLen = 1 << 40

// free stands for an axis of any size.
const free = -1

// checker collects the operands of one op and the first complaint.
type checker struct {
	op        string
	err       error
	ins, outs []operand
	pointwise bool // outputs may be exactly an input
}

type operand struct {
	name string
	t    *Tensor
}

func (c *checker) fail(format string, args ...any) {
	if c.err == nil {
		c.err = fmt.Errorf("%s: %s", c.op, fmt.Sprintf(format, args...))
	}
}

// want complains unless cond holds.
func (c *checker) want(cond bool, format string, args ...any) {
	if !cond {
		c.fail(format, args...)
	}
}

// in checks an operand that is read and returns its shape. No dims mean any
// shape. After a complaint the shape has as many axes as dims, all 1, so that
// the caller may go on.
func (c *checker) in(name string, t *Tensor, d DType, dims ...int) []int {
	c.ins = append(c.ins, operand{name, t})
	return c.operand(name, t, d, dims)
}

// out checks an operand that is written, be it overwritten or added to.
func (c *checker) out(name string, t *Tensor, d DType, dims ...int) []int {
	c.outs = append(c.outs, operand{name, t})
	return c.operand(name, t, d, dims)
}

// maybeIn and maybeOut check operands that may be absent.
func (c *checker) maybeIn(name string, t *Tensor, d DType, dims ...int) {
	if t != nil {
		c.in(name, t, d, dims...)
	}
}

func (c *checker) maybeOut(name string, t *Tensor, d DType, dims ...int) {
	if t != nil {
		c.out(name, t, d, dims...)
	}
}

// none complains about an operand that the op's attributes rule out.
func (c *checker) none(name string, t *Tensor, why string) {
	c.want(t == nil, "%s is %v, want none %s", name, t, why)
}

func (c *checker) operand(name string, t *Tensor, d DType, dims []int) []int {
	switch {
	case t == nil:
		c.fail("%s is missing, want %s", name, wanted(d, dims))
	case t.DType != d || !fits(t.Shape, dims):
		c.fail("%s is %v, want %s", name, t, wanted(d, dims))
	case !sizable(t.Shape):
		c.fail("%s is %v, want axes of at least 1 and at most %d elements", name, t, maxLen)
	default:
		c.place(name, t)
		return t.Shape
	}
	ones := make([]int, max(1, len(dims)))
	for i := range ones {
		ones[i] = 1
	}
	return ones
}

// place checks that views lie in their bases and memory is aligned.
func (c *checker) place(name string, t *Tensor) {
	for v := t; v.Base != nil; v = v.Base {
		if v.DType != v.Base.DType || v.BaseOff < 0 || v.BaseOff+v.Len() > v.Base.Len() {
			c.fail("%s is %v at element %d of %v, want it inside", name, v, v.BaseOff, v.Base)
		}
	}
	if _, off := t.Place(); off%t.DType.Size() != 0 {
		c.fail("%s is %v at byte %d, want a multiple of %d", name, t, off, t.DType.Size())
	}
}

func fits(shape, dims []int) bool {
	if len(dims) == 0 {
		return len(shape) > 0
	}
	return slices.EqualFunc(shape, dims, func(a, b int) bool { return a == b || b == free })
}

func sizable(shape []int) bool {
	n := 1
	for _, d := range shape {
		if d < 1 || d > maxLen/n {
			return false
		}
		n *= d
	}
	return true
}

func wanted(d DType, dims []int) string {
	if len(dims) == 0 {
		return d.String()
	}
	return d.String() + strings.ReplaceAll(fmt.Sprint(dims), "-1", "any")
}

// aliases complains about an output that shares elements with an input or
// with another output.
func (c *checker) aliases() {
	for i, out := range c.outs {
		for _, in := range c.ins {
			shared, same := meet(out.t, in.t)
			if shared && !(same && c.pointwise) {
				c.fail("output %s (%v) shares memory with input %s (%v), want it apart", out.name, out.t, in.name, in.t)
			}
		}
		for _, other := range c.outs[:i] {
			if shared, _ := meet(out.t, other.t); shared {
				c.fail("outputs %s (%v) and %s (%v) share memory, want them apart", other.name, other.t, out.name, out.t)
			}
		}
	}
}

// meet tells whether two tensors share memory, and whether they are the same
// elements. Tensors without memory share it when they are views of one root.
func meet(a, b *Tensor) (shared, same bool) {
	if a == nil || b == nil {
		return false, false
	}
	bufA, x := a.Place()
	bufB, y := b.Place()
	if a.Root() != b.Root() && !sameMemory(bufA, bufB) {
		return false, false
	}
	return x < y+b.Bytes() && y < x+a.Bytes(), x == y && a.Bytes() == b.Bytes()
}

func sameMemory(a, b Buffer) bool {
	if a == nil || b == nil {
		return false
	}
	if x, y := a.Host(), b.Host(); len(x) > 0 && len(y) > 0 {
		return &x[0] == &y[0]
	}
	return reflect.TypeOf(a).Comparable() && reflect.TypeOf(b).Comparable() && a == b
}
