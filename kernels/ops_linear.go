package kernels

// Act is a pointwise function.
type Act uint8

// Activations. GELU is the tanh approximation (Hendrycks and Gimpel,
// arXiv 1606.08415, section 2).
const (
	NoAct Act = iota
	ReLU
	GELU
	SiLU
	Tanh
	Sigmoid
)

func (a Act) String() string {
	return [...]string{"none", "relu", "gelu", "silu", "tanh", "sigmoid"}[a]
}

// FromOutput tells whether the derivative is a function of the output
// (ReLU, Tanh, Sigmoid) rather than of the input (GELU, SiLU).
func (a Act) FromOutput() bool { return a == NoAct || a == ReLU || a == Tanh || a == Sigmoid }

// MatMul is C = act(alpha·op(A)·op(B) + bias), or C += alpha·op(A)·op(B).
//
// With a B of rank 2, A has any rank ≥ 2 and counts as the matrix
// [Rows, last]; with TransA (then A and B are flattened to matrices of equal
// row count) C = Aᵀ·B. With a B of rank 3 all three are batches of matrices
// with the same first axis.
type MatMul struct {
	A, B, C        *Tensor
	TransA, TransB bool
	Acc            bool    // C += …; excludes Bias and Act
	Alpha          float32 // 0 means 1

	Bias *Tensor // [N], optional
	Act  Act
	Pre  *Tensor // like C: the value before Act, optional output
}

// Conv is the geometry of a square convolution or its gradients.
type Conv struct{ Stride, Pad, Groups int }

// Out is the size of an output axis for an input of size n, window k.
func (c Conv) Out(n, k int) int { return (n+2*c.Pad-k)/c.Stride + 1 }

// Conv2D is Y = act(X ∗ W + bias): X [N,H,W,C], W [kh,kw,C/groups,K],
// Y [N,OH,OW,K]. Group g of the inputs meets group g of the outputs.
type Conv2D struct {
	X, W, Y *Tensor
	Conv
	Bias *Tensor // [K], optional
	Act  Act     // NoAct or ReLU
}

// ConvInput is the gradient of Conv2D by its input: DX (+)= DY ∗ᵀ W.
type ConvInput struct {
	DY, W, DX *Tensor
	Conv
	Acc bool
}

// ConvWeight is the gradient of Conv2D by its weights: DW (+)= X ∗ DY.
type ConvWeight struct {
	X, DY, DW *Tensor
	Conv
	Acc bool
}

// SumRows is Y[j] (+)= Σ_i X[i][j] with X seen as [Len(X)/Len(Y), Len(Y)]:
// the gradient of a bias or of any operand broadcast over leading axes.
type SumRows struct {
	X, Y *Tensor
	Acc  bool
}

// Attention is multi-head scaled dot-product attention (Vaswani et al., arXiv
// 1706.03762, eq. 1): QKV [B,T,3·H·D] laid out [3][H][D], O [B,T,H·D],
// LSE [B,H,T] the log-sum-exp of each row of scores, kept for the gradient.
type Attention struct {
	QKV, O, LSE *Tensor
	Heads       int
	Causal      bool
}

// AttentionGrad is the gradient of Attention; DQKV is overwritten.
type AttentionGrad struct {
	QKV, O, LSE, DO, DQKV *Tensor
	Heads                 int
	Causal                bool
}

// LSTM runs a whole sequence of LSTM cells from a zero state: X [B,T,4H] are
// the input contributions to the gates including biases, laid out
// [i f g o][H]; W [H,4H] the recurrent weights. H and C [B,T,H] are all hidden
// and cell states; Gates [B,T,4H] the activated gates, kept for the gradient.
// i,f,o = σ(·), g = tanh(·), c = f⊙c₋₁ + i⊙g, h = o⊙tanh(c).
type LSTM struct {
	X, W, H, C, Gates *Tensor
}

// LSTMGrad is the gradient of LSTM given DH [B,T,H]: DX [B,T,4H] is
// overwritten, DW [H,4H] overwritten or, with Acc, added to.
type LSTMGrad struct {
	W, H, C, Gates, DH, DX, DW *Tensor
	Acc                        bool
}
