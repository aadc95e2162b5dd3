package kernels

// Blocks partitions a parameter into the sub-networks that were added to it
// by growth. The parameter is seen as the matrix [Rows, Cols]; entry (i, j)
// belongs to block max(RowBlock[i], ColBlock[j]) (papers on growing: the
// stage in which an entry came to life). N is the number of blocks.
type Blocks struct {
	Rows, Cols int
	RowBlock   []int32 // nil means all 0
	ColBlock   []int32 // nil means all 0
	N          int
}

// SGD is one step of stochastic gradient descent with momentum on one
// parameter: g = GradFactor·G + Decay·W; M = Momentum·M + (1-Dampening)·g;
// W -= Rate·Rates[block]·(Nesterov ? g + Momentum·M : M).
// (Sutskever et al., ICML 2013; Nesterov in the form that PyTorch uses.)
// When First reads nonzero, M = g instead (no dampening on the first step).
type SGD struct {
	W, G, M    *Tensor // M nil when Momentum is 0
	Momentum   float32
	Dampening  float32
	Decay      float32
	Nesterov   bool
	Blocks     Blocks
	Rates      *Tensor // [Blocks.N] f32: factor of each block, set by the caller
	FirstBlock *Tensor // [Blocks.N] f32: nonzero while a block takes its first step
}

// Adam is one step of Adam (Kingma and Ba, arXiv 1412.6980, algorithm 1) or,
// with Decoupled, AdamW (Loshchilov and Hutter, arXiv 1711.05101, algorithm 2)
// on one parameter. Corr1 and Corr2 hold 1/(1-β₁^t) and 1/(1-β₂^t) of each
// block, t its own age in steps: m̂ = M·Corr1, v̂ = V·Corr2,
// W -= Rate·Rates[block]·m̂/(√v̂+ε).
type Adam struct {
	W, G, M, V   *Tensor
	Beta1, Beta2 float32
	Eps          float32
	Decay        float32
	Decoupled    bool
	Blocks       Blocks
	Rates        *Tensor // [Blocks.N]
	Corr1, Corr2 *Tensor // [Blocks.N]
}

// BlockSquares is Out[b] = Σ W² over the entries of block b, accumulated in
// float64 in a fixed order and rounded to float32 at the end.
type BlockSquares struct {
	W      *Tensor
	Blocks Blocks
	Out    *Tensor // [Blocks.N]
}
