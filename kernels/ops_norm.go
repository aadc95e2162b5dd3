package kernels

// BatchNorm normalises over all axes but the last with the statistics of the
// batch it is given: Y = act(γ·(X-μ)/√(σ²+ε) + β + Residual). Mean and Var
// (biased) [C] are outputs of their own, because running statistics are
// formed from them outside; InvStd [C] is kept for the gradient.
type BatchNorm struct {
	X, Gamma, Beta, Y *Tensor
	Residual          *Tensor // like Y, optional
	Mean, Var, InvStd *Tensor
	ReLU              bool
	Eps               float32
}

// BatchNormInfer applies given statistics: Y as in BatchNorm.
type BatchNormInfer struct {
	X, Gamma, Beta, Mean, Var, Y *Tensor
	Residual                     *Tensor
	ReLU                         bool
	Eps                          float32
}

// BatchNormGrad is the gradient of BatchNorm. With ReLU, Y tells where the
// output was positive. DX is overwritten; DResidual, when given, (+)= the
// gradient behind the ReLU; without AccResidual it may be DY itself, which is
// then masked in place.
type BatchNormGrad struct {
	X, Y, DY, Gamma, Mean, InvStd *Tensor
	DX, DGamma, DBeta             *Tensor
	DResidual                     *Tensor
	AccResidual                   bool
	ReLU                          bool
}

// LayerNorm normalises each row of the last axis: Y = γ·(X-μ)/√(σ²+ε) + β;
// with RMS, Y = γ·X/√(mean(X²)+ε) and Beta is nil. Mean (nil for RMS) and
// InvStd have one entry a row.
type LayerNorm struct {
	X, Gamma, Beta, Y *Tensor
	Mean, InvStd      *Tensor
	RMS               bool
	Eps               float32
}

// LayerNormGrad is the gradient of LayerNorm. DGamma and DBeta are
// overwritten, DX overwritten or, with Acc, added to.
type LayerNormGrad struct {
	X, DY, Gamma, Mean, InvStd *Tensor
	DX, DGamma, DBeta          *Tensor
	RMS                        bool
	Acc                        bool
}

// Softmax is applied along the last axis.
type Softmax struct{ X, Y *Tensor }

// SoftmaxGrad is DX (+)= Y⊙(DY - Σ Y⊙DY).
type SoftmaxGrad struct {
	Y, DY, DX *Tensor
	Acc       bool
}

// SoftmaxXent is softmax, cross-entropy and their gradient in one pass:
// Logits [R, K], Target i32 [R]; a target of -1 marks a row that does not
// count. Loss [R] is the cross-entropy of each row in nats, 0 where it does
// not count; Hit [R] is 1 where the largest logit (the first of equals) is
// the target, else 0. DLogits, optional, is GradScale times the gradient of
// the sum of losses. With Smooth = s the target distribution is
// (1-s)·one-hot + s/K (Szegedy et al., arXiv 1512.00567, section 7); Loss then
// is the smoothed cross-entropy. A target outside [-1, K) makes the loss NaN.
type SoftmaxXent struct {
	Logits, Target, Loss, Hit *Tensor
	DLogits                   *Tensor
	Smooth                    float32
}
