package kernels

// Dims returns the sizes of the product: batch matrices C of [m, n], each the
// sum over k. It must be called on a checked op only.
//
// A and B are batches when B and C have rank 3; else they are flattened to
// one matrix each.
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
