package kernels

// FakeQuant is Y = X as activations are in a network whose layers compute with
// integers: each of Rows equal parts of X has its own step
//
//	delta = max|x| / (2^(Bits-1) - 1)
//
// and Mode, one number, says what becomes of an element x: 0 leaves it; 1 adds
// delta/2·ε, the noise that stands for rounding while precision is trained,
// with ε uniform in (-1, 1), 2·U-1 of word i%4 of philox.NewKey(Seed,
// "activation") at counter (i/4, ID, Shard, Step) for element i of the whole
// tensor; 2 rounds to the nearest multiple of delta, ties to even. The step
// counts as a constant: the gradient by X is that by Y.
type FakeQuant struct {
	X, Y, Mode *Tensor
	Rows, Bits int
	ID         uint32
}

// Inputs lists the operands that o reads.
func (o *FakeQuant) Inputs() []*Tensor { return list(o.X, o.Mode) }

// Outputs lists the operands that o writes.
func (o *FakeQuant) Outputs() []*Tensor { return list(o.Y) }

func (o *FakeQuant) check(c *checker) {
	x := c.in("X", o.X, F32)
	c.in("Mode", o.Mode, F32, 1)
	c.out("Y", o.Y, F32, x...)
	c.want(o.Bits == 4 || o.Bits == 8, "%d bits, want 4 or 8", o.Bits)
	if c.err == nil {
		n := rows(x) * last(x)
		c.want(o.Rows > 0 && n%o.Rows == 0 && o.Rows%x[0] == 0, "%d rows of X %v, want a divisor of its size and a multiple of its first axis", o.Rows, o.X)
		c.want(n <= 1<<34, "X is %v, want at most %d elements for the counter", o.X, 1<<34)
	}
}
