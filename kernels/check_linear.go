package kernels

// Dims returns the sizes of the product: batch matrices C of [m, n], each the
// sum over k. It must be called on a checked op only.
//
// A, B and C are batches of matrices when B and C have rank 3; else each is
// flattened to one matrix.
func (o *MatMul) Dims() (batch, m, n, k int) {
	batch = 1
	if len(o.B.Shape) == 3 && len(o.C.Shape) == 3 {
		batch = o.B.Shape[0]
	}
	m, k = o.A.Rows()/batch, o.A.Dim(-1)
	if o.TransA {
		m, k = k, m
	}
	n = o.B.Dim(-1)
	if o.TransB {
		n = o.B.Rows() / batch
	}
	return batch, m, n, k
}

func (o *MatMul) check(c *checker) {
	c.in("A", o.A, F32)
	c.in("B", o.B, F32)
	c.out("C", o.C, F32)
	c.want(o.Act <= Sigmoid, "activation %d, want at most %d", uint8(o.Act), uint8(Sigmoid))
	if c.err != nil {
		return
	}
	a, b, y := len(o.A.Shape), len(o.B.Shape), len(o.C.Shape)
	c.want(a >= 2 && b >= 2 && y >= 2, "A, B, C of rank %d, %d, %d, want at least 2", a, b, y)
	switch {
	case c.err != nil:
		return
	case b == 3 && y == 3: // a batch of products
		n := o.B.Shape[0]
		c.want(a == 3 && o.A.Shape[0] == n && o.C.Shape[0] == n, "A is %v, B %v and C %v, want equally many matrices", o.A, o.B, o.C)
	default:
		c.want(b == 2 || o.TransA && !o.TransB, "B is %v, want rank 2, or 3 with A and C of rank 3", o.B)
	}
	if c.err != nil {
		return
	}
	batch, m, n, k := o.Dims()
	inner := o.B.Rows() / batch
	if o.TransB {
		inner = o.B.Dim(-1)
	}
	c.want(inner == k, "A is %v and B %v: inner sizes %d and %d, want them equal", o.A, o.B, k, inner)
	c.want(o.C.Rows() == batch*m && o.C.Dim(-1) == n, "C is %v, want %d rows of %d", o.C, batch*m, n)
	c.maybeIn("Bias", o.Bias, F32, n)
	c.maybeOut("Pre", o.Pre, F32, o.C.Shape...)
	c.want(!o.Acc || o.Bias == nil && o.Pre == nil && o.Act == NoAct, "Acc with Bias, Act or Pre, want neither")
}

// checkWindow checks the geometry of a convolution and returns the shapes
// that image x [N,H,W,C] and weights w [kh,kw,C/groups,K] ask of y.
func (g Conv) check(c *checker, x, w []int) (y []int) {
	c.want(g.Stride >= 1, "stride %d, want at least 1", g.Stride)
	c.want(g.Groups >= 1, "%d groups, want at least 1", g.Groups)
	c.want(g.Pad >= 0 && g.Pad < max(w[0], w[1]), "padding %d, want 0 to %d", g.Pad, max(w[0], w[1])-1)
	if c.err != nil {
		return []int{1, 1, 1, 1}
	}
	c.want(x[3]%g.Groups == 0 && w[3]%g.Groups == 0, "%d groups of %d input and %d output channels, want a divisor of both", g.Groups, x[3], w[3])
	c.want(w[2]*g.Groups == x[3], "weights see %d channels in %d groups, want %d in all", w[2], g.Groups, x[3])
	c.want(w[0] <= x[1]+2*g.Pad && w[1] <= x[2]+2*g.Pad, "window %d×%d on an image of %d×%d padded by %d, want it to fit", w[0], w[1], x[1], x[2], g.Pad)
	return []int{x[0], g.Out(x[1], w[0]), g.Out(x[2], w[1]), w[3]}
}

func (o *Conv2D) check(c *checker) {
	x := c.in("X", o.X, F32, free, free, free, free)
	w := c.in("W", o.W, F32, free, free, free, free)
	c.out("Y", o.Y, F32, o.Conv.check(c, x, w)...)
	c.maybeIn("Bias", o.Bias, F32, w[3])
	c.want(o.Act == NoAct || o.Act == ReLU, "activation %d, want none or relu", uint8(o.Act))
}

func (o *ConvInput) check(c *checker) {
	w := c.in("W", o.W, F32, free, free, free, free)
	dx := c.out("DX", o.DX, F32, free, free, free, free)
	c.in("DY", o.DY, F32, o.Conv.check(c, dx, w)...)
}

func (o *ConvWeight) check(c *checker) {
	x := c.in("X", o.X, F32, free, free, free, free)
	dw := c.out("DW", o.DW, F32, free, free, free, free)
	c.in("DY", o.DY, F32, o.Conv.check(c, x, dw)...)
}

func (o *SumRows) check(c *checker) {
	c.in("X", o.X, F32)
	c.out("Y", o.Y, F32)
	if c.err == nil {
		c.want(o.X.Len()%o.Y.Len() == 0, "X is %v, want a multiple of the %d elements of Y", o.X, o.Y.Len())
	}
}

// checkHeads returns the shapes of O and LSE.
func checkHeads(c *checker, qkv []int, heads int) (o, lse []int) {
	c.want(heads >= 1 && qkv[2]%(3*max(heads, 1)) == 0, "QKV rows of %d for %d heads, want a multiple of 3·heads", qkv[2], heads)
	return []int{qkv[0], qkv[1], qkv[2] / 3}, []int{qkv[0], heads, qkv[1]}
}

func (o *Attention) check(c *checker) {
	qkv := c.in("QKV", o.QKV, F32, free, free, free)
	out, lse := checkHeads(c, qkv, o.Heads)
	c.out("O", o.O, F32, out...)
	c.out("LSE", o.LSE, F32, lse...)
}

func (o *AttentionGrad) check(c *checker) {
	qkv := c.in("QKV", o.QKV, F32, free, free, free)
	out, lse := checkHeads(c, qkv, o.Heads)
	c.in("O", o.O, F32, out...)
	c.in("LSE", o.LSE, F32, lse...)
	c.in("DO", o.DO, F32, out...)
	c.out("DQKV", o.DQKV, F32, qkv...)
}

func (o *LSTM) check(c *checker) {
	h := c.out("H", o.H, F32, free, free, free)
	gates := []int{h[0], h[1], 4 * h[2]}
	c.in("X", o.X, F32, gates...)
	c.in("W", o.W, F32, h[2], 4*h[2])
	c.out("C", o.C, F32, h...)
	c.out("Gates", o.Gates, F32, gates...)
}

func (o *LSTMGrad) check(c *checker) {
	h := c.in("H", o.H, F32, free, free, free)
	gates := []int{h[0], h[1], 4 * h[2]}
	c.in("W", o.W, F32, h[2], 4*h[2])
	c.in("C", o.C, F32, h...)
	c.in("Gates", o.Gates, F32, gates...)
	c.in("DH", o.DH, F32, h...)
	c.out("DX", o.DX, F32, gates...)
	c.out("DW", o.DW, F32, h[2], 4*h[2])
}
