package kernels

// blocks checks that b partitions parameter w.
func (c *checker) blocks(b Blocks, w *Tensor) {
	if c.err != nil {
		return
	}
	fit := b.Rows >= 1 && b.Cols >= 1 && w.Len()%b.Cols == 0 && w.Len()/b.Cols == b.Rows
	c.want(fit, "blocks of a %d×%d matrix, want the %d elements of W", b.Rows, b.Cols, w.Len())
	c.want(b.N >= 1, "%d blocks, want at least 1", b.N)
	for _, axis := range []struct {
		name  string
		of    []int32
		count int
	}{{"RowBlock", b.RowBlock, b.Rows}, {"ColBlock", b.ColBlock, b.Cols}} {
		c.want(axis.of == nil || len(axis.of) == axis.count, "%s has %d entries, want %d", axis.name, len(axis.of), axis.count)
		for i, v := range axis.of {
			c.want(v >= 0 && int(v) < b.N, "%s[%d] = %d, want 0 to %d", axis.name, i, v, b.N-1)
		}
	}
}

func (o *SGD) check(c *checker) {
	w := c.out("W", o.W, F32)
	c.in("G", o.G, F32, w...)
	c.blocks(o.Blocks, o.W)
	c.in("Rates", o.Rates, F32, max(o.Blocks.N, 1))
	c.want(o.Momentum >= 0, "momentum %g, want at least 0", o.Momentum)
	if o.Momentum == 0 {
		c.none("M", o.M, "without momentum")
		c.maybeIn("FirstBlock", o.FirstBlock, F32, max(o.Blocks.N, 1))
		return
	}
	c.out("M", o.M, F32, w...)
	c.in("FirstBlock", o.FirstBlock, F32, max(o.Blocks.N, 1))
}

func (o *Adam) check(c *checker) {
	w := c.out("W", o.W, F32)
	c.in("G", o.G, F32, w...)
	c.out("M", o.M, F32, w...)
	c.out("V", o.V, F32, w...)
	c.blocks(o.Blocks, o.W)
	n := max(o.Blocks.N, 1)
	c.in("Rates", o.Rates, F32, n)
	c.in("Corr1", o.Corr1, F32, n)
	c.in("Corr2", o.Corr2, F32, n)
	c.want(o.Beta1 >= 0 && o.Beta1 < 1, "beta1 %g, want [0, 1)", o.Beta1)
	c.want(o.Beta2 >= 0 && o.Beta2 < 1, "beta2 %g, want [0, 1)", o.Beta2)
	c.eps(o.Eps)
}

func (o *BlockSquares) check(c *checker) {
	c.in("W", o.W, F32)
	c.blocks(o.Blocks, o.W)
	c.out("Out", o.Out, F32, max(o.Blocks.N, 1))
}
