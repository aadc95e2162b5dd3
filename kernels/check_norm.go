package kernels

// rows is the product of all axes but the last.
func rows(shape []int) int {
	n := 1
	for _, d := range shape[:len(shape)-1] {
		n *= d
	}
	return n
}

func last(shape []int) int { return shape[len(shape)-1] }

// inRows and outRows check an operand of one entry a row.
func (c *checker) inRows(name string, t *Tensor, n int) {
	c.in(name, t, F32)
	c.wantRows(name, t, n)
}

func (c *checker) outRows(name string, t *Tensor, n int) {
	c.out(name, t, F32)
	c.wantRows(name, t, n)
}

func (c *checker) wantRows(name string, t *Tensor, n int) {
	if c.err == nil {
		c.want(t.Len() == n, "%s is %v, want %d entries, one a row", name, t, n)
	}
}

func (c *checker) eps(e float32) { c.want(e > 0, "eps %g, want it above 0", e) }

func (o *BatchNorm) check(c *checker) {
	x := c.in("X", o.X, F32)
	c.in("Gamma", o.Gamma, F32, last(x))
	c.in("Beta", o.Beta, F32, last(x))
	c.maybeIn("Residual", o.Residual, F32, x...)
	c.out("Y", o.Y, F32, x...)
	c.out("Mean", o.Mean, F32, last(x))
	c.out("Var", o.Var, F32, last(x))
	c.out("InvStd", o.InvStd, F32, last(x))
	c.eps(o.Eps)
}

func (o *BatchNormInfer) check(c *checker) {
	c.pointwise = true
	x := c.in("X", o.X, F32)
	c.in("Gamma", o.Gamma, F32, last(x))
	c.in("Beta", o.Beta, F32, last(x))
	c.in("Mean", o.Mean, F32, last(x))
	c.in("Var", o.Var, F32, last(x))
	c.maybeIn("Residual", o.Residual, F32, x...)
	c.out("Y", o.Y, F32, x...)
	c.eps(o.Eps)
}

func (o *BatchNormGrad) check(c *checker) {
	x := c.in("X", o.X, F32)
	c.in("DY", o.DY, F32, x...)
	if o.ReLU {
		c.in("Y", o.Y, F32, x...)
	} else {
		c.maybeIn("Y", o.Y, F32, x...)
	}
	c.in("Gamma", o.Gamma, F32, last(x))
	c.in("Mean", o.Mean, F32, last(x))
	c.in("InvStd", o.InvStd, F32, last(x))
	c.out("DX", o.DX, F32, x...)
	c.out("DGamma", o.DGamma, F32, last(x))
	c.out("DBeta", o.DBeta, F32, last(x))
	if _, same := meet(o.DResidual, o.DY); !same || o.AccResidual { // masking DY in place is allowed
		c.maybeOut("DResidual", o.DResidual, F32, x...)
	}
	c.want(!o.AccResidual || o.DResidual != nil, "AccResidual without DResidual")
}

func (o *LayerNorm) check(c *checker) {
	x := c.in("X", o.X, F32)
	c.in("Gamma", o.Gamma, F32, last(x))
	if o.RMS {
		c.none("Beta", o.Beta, "with RMS")
		c.none("Mean", o.Mean, "with RMS")
	} else {
		c.in("Beta", o.Beta, F32, last(x))
		c.outRows("Mean", o.Mean, rows(x))
	}
	c.outRows("InvStd", o.InvStd, rows(x))
	c.out("Y", o.Y, F32, x...)
	c.eps(o.Eps)
}

func (o *LayerNormGrad) check(c *checker) {
	x := c.in("X", o.X, F32)
	c.in("DY", o.DY, F32, x...)
	c.in("Gamma", o.Gamma, F32, last(x))
	if o.RMS {
		c.none("Mean", o.Mean, "with RMS")
		c.none("DBeta", o.DBeta, "with RMS")
	} else {
		c.inRows("Mean", o.Mean, rows(x))
		c.out("DBeta", o.DBeta, F32, last(x))
	}
	c.inRows("InvStd", o.InvStd, rows(x))
	c.out("DX", o.DX, F32, x...)
	c.out("DGamma", o.DGamma, F32, last(x))
}

func (o *Softmax) check(c *checker) {
	c.out("Y", o.Y, F32, c.in("X", o.X, F32)...)
}

func (o *SoftmaxGrad) check(c *checker) {
	y := c.in("Y", o.Y, F32)
	c.in("DY", o.DY, F32, y...)
	c.out("DX", o.DX, F32, y...)
}

func (o *SoftmaxXent) check(c *checker) {
	z := c.in("Logits", o.Logits, F32, free, free)
	c.in("Target", o.Target, I32, z[0])
	c.out("Loss", o.Loss, F32, z[0])
	c.out("Hit", o.Hit, F32, z[0])
	c.maybeOut("DLogits", o.DLogits, F32, z...)
	c.want(o.Smooth >= 0 && o.Smooth < 1, "smooth %g, want [0, 1)", o.Smooth)
}
