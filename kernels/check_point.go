package kernels

import "slices"

func (c *checker) act(a Act) {
	c.want(a <= Sigmoid, "activation %d, want at most %d", uint8(a), uint8(Sigmoid))
}

func (o *Unary) check(c *checker) {
	c.pointwise = true
	c.out("Y", o.Y, F32, c.in("X", o.X, F32)...)
	c.act(o.Fn)
}

func (o *UnaryGrad) check(c *checker) {
	c.pointwise = true
	x := c.in("X", o.X, F32)
	c.in("DY", o.DY, F32, x...)
	c.out("DX", o.DX, F32, x...)
	c.act(o.Fn)
}

func (o *Binary) check(c *checker) {
	c.pointwise = true
	a := c.in("A", o.A, F32)
	b := c.in("B", o.B, F32)
	if c.err == nil {
		ends := len(b) <= len(a) && slices.Equal(a[len(a)-len(b):], b)
		c.want(ends, "B is %v, want a shape that A %v ends with", o.B, o.A)
	}
	c.out("Y", o.Y, F32, a...)
	c.want(o.Fn <= Mul, "function %d, want at most %d", uint8(o.Fn), uint8(Mul))
}

func (o *Axpby) check(c *checker) {
	c.pointwise = true
	c.out("Y", o.Y, F32, c.in("X", o.X, F32)...)
}

func (o *Fill) check(c *checker) { c.out("Y", o.Y, F32) }

func (o *Dropout) check(c *checker) {
	c.pointwise = true
	x := c.in("X", o.X, F32)
	c.out("Y", o.Y, F32, x...)
	c.want(o.P >= 0 && o.P < 1, "P %g, want [0, 1)", o.P)
	c.want(rows(x)*last(x) <= 1<<34, "X is %v, want at most %d elements for the counter", o.X, 1<<34)
}

func (o *Mark) check(c *checker) {
	for _, t := range o.After {
		c.want(t != nil, "After lists a missing tensor")
	}
}
