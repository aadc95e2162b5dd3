package convergence

import "math"

// Bounds are the limits of a rate at step t.
type Bounds func(t int) (lower, upper float64)

// Closing are the usual bounds: limit·γt/(γt+1) and limit·(1+1/(γt)).
func Closing(limit, gamma float64) Bounds {
	return func(t int) (lower, upper float64) {
		x := gamma * float64(t)
		return limit * x / (x + 1), limit * (1 + 1/x)
	}
}

// Theorem2 are the bounds under which AdaBound is Adam for K steps of
// [Reddi]'s problem and SGD afterwards (arXiv 1908.04457, theorem 2).
func Theorem2(alpha, c, beta2 float64, k int) Bounds {
	return func(t int) (lower, upper float64) {
		if t <= k {
			return alpha / c, alpha / math.Sqrt(1-beta2)
		}
		return alpha / c, alpha / c
	}
}

// Claim1 is the γ with which the usual bounds of limit 1 delay convergence as
// theorem 2's do (arXiv 1908.04457, claim 1).
func Claim1(alpha, c, beta2 float64, k int) (gamma float64) {
	return min(alpha/(c-alpha), math.Sqrt(1-beta2)/alpha) / float64(k)
}

// AdaBound is the released form (arXiv 1902.09843): bias corrected, with eps,
// its bounds following the learning rate from BaseLR on.
type AdaBound struct {
	Beta1, Beta2, Eps, WeightDecay float64
	FinalLR, Gamma, BaseLR         float64
	Decoupled                      bool // AdaBoundW: no rate multiplies the decay
	AMS                            bool // AMSBound

	Moments
	VMax         []float64
	Lower, Upper float64   // of the last step
	Eta          []float64 // of the last step
}

// Step implements Rule.
func (s *AdaBound) Step(x, g []float64, lr float64) {
	t := s.begin(len(x))
	if s.VMax == nil {
		s.VMax, s.Eta = make([]float64, len(x)), make([]float64, len(x))
	}
	scale := lr * math.Sqrt(1-math.Pow(s.Beta2, t)) / (1 - math.Pow(s.Beta1, t))
	s.Lower, s.Upper = Closing(s.FinalLR*lr/s.BaseLR, s.Gamma)(s.T)
	for i := range x {
		d, decay := g[i], s.WeightDecay*x[i]
		if !s.Decoupled {
			d, decay = d+decay, 0
		}
		s.M[i] = s.Beta1*s.M[i] + (1-s.Beta1)*d
		s.V[i] = s.Beta2*s.V[i] + (1-s.Beta2)*d*d
		v := s.V[i]
		if s.AMS {
			s.VMax[i] = max(s.VMax[i], v)
			v = s.VMax[i]
		}
		s.Eta[i] = min(max(scale/(math.Sqrt(v)+s.Eps), s.Lower), s.Upper)
		x[i] -= s.Eta[i]*s.M[i] + decay
	}
}

// Algorithm1 is AdaBound as analysed (arXiv 1908.04457, algorithm 1): no bias
// correction, no eps, and a rate that falls as 1/√t. Without Bounds it is the
// Adam, with AMS the AMSGrad, of the same analysis. The caller projects x.
type Algorithm1 struct {
	Beta1, Beta2, WeightDecay float64
	Beta1OverT                bool // Beta1/t in step t
	Bounds                    Bounds
	AMS                       bool

	Moments
	VMax         []float64
	Lower, Upper float64
	Eta          []float64 // of the last step, before 1/√t
}

// Step implements Rule.
func (s *Algorithm1) Step(x, g []float64, lr float64) {
	t := s.begin(len(x))
	if s.VMax == nil {
		s.VMax, s.Eta = make([]float64, len(x)), make([]float64, len(x))
	}
	beta1, root := s.Beta1, math.Sqrt(t)
	if s.Beta1OverT {
		beta1 /= t
	}
	s.Lower, s.Upper = 0, math.Inf(1)
	if s.Bounds != nil {
		s.Lower, s.Upper = s.Bounds(s.T)
	}
	for i := range x {
		d := g[i] + s.WeightDecay*x[i]
		s.M[i] = beta1*s.M[i] + (1-beta1)*d
		s.V[i] = s.Beta2*s.V[i] + (1-s.Beta2)*d*d
		v := s.V[i]
		if s.AMS {
			s.VMax[i] = max(s.VMax[i], v)
			v = s.VMax[i]
		}
		s.Eta[i] = min(max(lr/math.Sqrt(v), s.Lower), s.Upper)
		x[i] -= s.Eta[i] / root * s.M[i]
	}
}
