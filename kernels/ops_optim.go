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

// AvaGrad is one step of AvaGrad or AvaGradW (Savarese et al., CVPR 2021,
// arXiv 1912.01823) or, without Gamma, of Delayed Adam on one parameter. The
// step divides by the root of V as it was before this gradient entered it:
// g = GradFactor·G (+ Decay·W unless Decoupled), M = β₁·M + (1-β₁)·g,
// W -= Rate·Rates[b]·(Gamma·Corr1[b]·M/(Corr2[b]·√V+ε) (+ Decay·W if
// Decoupled)), then V = β₂·V + (1-β₂)·g². A block of rate 0 keeps its W and
// still updates M and V.
//
// With Next and Squares it also sums the rates of the old V, as RateSquares
// does with the correction Next, in the same pass.
type AvaGrad struct {
	W, G, M, V    *Tensor
	Beta1, Beta2  float32
	Eps           float32
	Decay         float32
	Decoupled     bool
	Blocks        Blocks
	Rates         *Tensor // [Blocks.N]
	Corr1, Corr2  *Tensor // [Blocks.N]
	Gamma         *Tensor // [1]: the normaliser; nil means 1
	Next, Squares *Tensor // [Blocks.N] and [Blocks.N, 2], or nil
}

// RateSquares is Σ (1/(Corr[b]·√V+ε))² over the entries of each block b,
// accumulated in float64 in a fixed order: the sum is Out[b,0] + Out[b,1],
// the first being the nearest float32.
type RateSquares struct {
	V      *Tensor
	Corr   *Tensor // [Blocks.N]
	Eps    float32
	Blocks Blocks
	Out    *Tensor // [Blocks.N, 2]
}

// AdaBound is one step of AdaBound (Luo et al., ICLR 2019, arXiv 1902.09843)
// on one parameter: g = GradFactor·G (+ Decay·W unless Decoupled),
// M = β·M + (1-β)·g with β = Beta1[b], V = β₂·V + (1-β₂)·g²,
// η = min(max(Scale[b]/(√V+ε), Lower[b]), Upper[b]),
// W = W - Rate·Rates[b]·η·M (- Decay·W if Decoupled: no rate multiplies it).
// With Max, Max = max(Max, V) stands for V in η (AMSBound). W is then clipped
// to Box, unless both of its ends are 0.
type AdaBound struct {
	W, G, M, V   *Tensor
	Max          *Tensor // nil but for AMSBound
	Beta2        float32
	Eps          float32 // may be 0
	Decay        float32
	Decoupled    bool
	Box          [2]float32
	Blocks       Blocks
	Rates        *Tensor // [Blocks.N], like those below
	Beta1, Scale *Tensor
	Lower, Upper *Tensor // not negative
}

// BlockSquares is Out[b] = Σ W² over the entries of block b, accumulated in
// float64 in a fixed order and rounded to float32 at the end.
type BlockSquares struct {
	W      *Tensor
	Blocks Blocks
	Out    *Tensor // [Blocks.N]
}
