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
	c.beta("beta1", o.Beta1)
	c.beta("beta2", o.Beta2)
	c.eps(o.Eps)
}

func (c *checker) beta(name string, b float32) {
	c.want(b >= 0 && b < 1, "%s %g, want [0, 1)", name, b)
}

func (o *AvaGrad) check(c *checker) {
	w := c.out("W", o.W, F32)
	c.in("G", o.G, F32, w...)
	c.out("M", o.M, F32, w...)
	c.out("V", o.V, F32, w...)
	c.blocks(o.Blocks, o.W)
	n := max(o.Blocks.N, 1)
	c.in("Rates", o.Rates, F32, n)
	c.in("Corr1", o.Corr1, F32, n)
	c.in("Corr2", o.Corr2, F32, n)
	c.maybeIn("Gamma", o.Gamma, F32, 1)
	if o.Squares == nil {
		c.none("Next", o.Next, "without Squares")
	} else {
		c.in("Next", o.Next, F32, n)
		c.out("Squares", o.Squares, F32, n, 2)
	}
	c.beta("beta1", o.Beta1)
	c.beta("beta2", o.Beta2)
	c.eps(o.Eps)
}

func (o *RateSquares) check(c *checker) {
	c.in("V", o.V, F32)
	c.blocks(o.Blocks, o.V)
	n := max(o.Blocks.N, 1)
	c.in("Corr", o.Corr, F32, n)
	c.out("Out", o.Out, F32, n, 2)
	c.eps(o.Eps)
}

func (o *AdaBound) check(c *checker) {
	w := c.out("W", o.W, F32)
	c.in("G", o.G, F32, w...)
	c.out("M", o.M, F32, w...)
	c.out("V", o.V, F32, w...)
	c.maybeOut("Max", o.Max, F32, w...)
	c.blocks(o.Blocks, o.W)
	n := max(o.Blocks.N, 1)
	for _, t := range []operand{{"Rates", o.Rates}, {"Beta1", o.Beta1}, {"Scale", o.Scale}, {"Lower", o.Lower}, {"Upper", o.Upper}} {
		c.in(t.name, t.t, F32, n)
	}
	c.beta("beta2", o.Beta2)
	c.want(o.Eps >= 0, "eps %g, want at least 0", o.Eps)
	c.want(o.Box == [2]float32{} || o.Box[0] < o.Box[1], "box %v, want its lower end first", o.Box)
}

func (o *BlockSquares) check(c *checker) {
	c.in("W", o.W, F32)
	c.blocks(o.Blocks, o.W)
	c.out("Out", o.Out, F32, max(o.Blocks.N, 1))
}
