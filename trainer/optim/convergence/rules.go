package convergence

import "math"

// Rule is an update rule on one group of parameters.
type Rule interface {
	// Step moves x against the gradient g, taken at x, at a learning rate.
	// The first call is step 1. g stays as it is.
	Step(x, g []float64, lr float64)
}

// Moments are the averages that a rule keeps, allocated at its first step.
type Moments struct {
	T    int // steps done
	M, V []float64
}

// begin counts the step and makes room.
func (s *Moments) begin(n int) (t float64) {
	if s.T++; s.M == nil {
		s.M, s.V = make([]float64, n), make([]float64, n)
	}
	return float64(s.T)
}

// SGD is stochastic gradient descent with momentum as commonly released: the
// buffer starts as the first gradient, whatever the dampening.
type SGD struct {
	Momentum, Dampening, WeightDecay float64
	Nesterov                         bool
	Moments
}

// Step implements Rule.
func (s *SGD) Step(x, g []float64, lr float64) {
	t := s.begin(len(x))
	for i := range x {
		d := g[i] + s.WeightDecay*x[i]
		if s.Momentum != 0 {
			if t == 1 {
				s.M[i] = d
			} else {
				s.M[i] = s.Momentum*s.M[i] + (1-s.Dampening)*d
			}
			if s.Nesterov {
				d += s.Momentum * s.M[i]
			} else {
				d = s.M[i]
			}
		}
		x[i] -= lr * d
	}
}

// CSGD is SGD with dampening equal to momentum, a buffer that starts at zero,
// and bias correction (arXiv 1908.04457, section 5).
type CSGD struct {
	Momentum, WeightDecay float64
	Moments
}

// Step implements Rule.
func (s *CSGD) Step(x, g []float64, lr float64) {
	t := s.begin(len(x))
	rate := lr / (1 - math.Pow(s.Momentum, t)) // Momentum 0: lr
	for i := range x {
		d := g[i] + s.WeightDecay*x[i]
		if s.Momentum == 0 {
			x[i] -= lr * d
			continue
		}
		s.M[i] = s.Momentum*s.M[i] + (1-s.Momentum)*d
		x[i] -= rate * s.M[i]
	}
}

// Adam is Adam (arXiv 1412.6980) or, with Decoupled, AdamW.
type Adam struct {
	Beta1, Beta2, Eps, WeightDecay float64
	Decoupled                      bool
	Moments
}

// Step implements Rule.
func (s *Adam) Step(x, g []float64, lr float64) {
	t := s.begin(len(x))
	c1, c2 := 1-math.Pow(s.Beta1, t), 1-math.Pow(s.Beta2, t)
	for i := range x {
		d := g[i]
		if s.Decoupled {
			x[i] -= lr * s.WeightDecay * x[i]
		} else {
			d += s.WeightDecay * x[i]
		}
		s.M[i] = s.Beta1*s.M[i] + (1-s.Beta1)*d
		s.V[i] = s.Beta2*s.V[i] + (1-s.Beta2)*d*d
		x[i] -= lr * s.M[i] / c1 / (math.Sqrt(s.V[i]/c2) + s.Eps)
	}
}

// Mode is a form of AvaGrad and Delayed Adam.
type Mode string

// The forms; see package optim.
const (
	Official Mode = "official"
	Paper    Mode = "paper"
	Fresh    Mode = "fresh"
)

// AvaGrad divides by the root of V before the gradient of the step entered it
// (arXiv 1912.01823). Without Normalize it is Delayed Adam.
type AvaGrad struct {
	Mode                           Mode
	Beta1, Beta2, Eps, WeightDecay float64
	Decoupled, Normalize           bool
	// SkipFirst leaves the first update out in mode paper too.
	SkipFirst bool

	Moments
	// Gamma is the normaliser: in mode official that of the next step.
	Gamma float64
}

// Step implements Rule.
func (s *AvaGrad) Step(x, g []float64, lr float64) {
	t := s.begin(len(x))
	c1, old, now := 1-math.Pow(s.Beta1, t), 1-math.Pow(s.Beta2, t-1), 1-math.Pow(s.Beta2, t)
	moves := t > 1
	if s.Mode == Paper {
		c1, old, moves = 1, 1, !s.SkipFirst || t > 1
	}
	eta := func(i int, correction float64) float64 { return 1 / (math.Sqrt(s.V[i])/math.Sqrt(correction) + s.Eps) }
	gamma := s.Gamma
	if s.Normalize && s.Mode != Official && moves {
		gamma = s.normalizer(eta, old)
		s.Gamma = gamma
	}
	if !s.Normalize {
		gamma = 1
	}
	next := 0.0
	if s.Normalize && s.Mode == Official {
		next = s.normalizer(eta, now) // of V as it still is
	}
	for i := range x {
		d := g[i]
		if !s.Decoupled {
			d += s.WeightDecay * x[i]
		}
		s.M[i] = s.Beta1*s.M[i] + (1-s.Beta1)*d
		if moves {
			if s.Decoupled {
				x[i] *= 1 - lr*s.WeightDecay
			}
			x[i] -= lr * gamma / c1 * eta(i, old) * s.M[i]
		}
		s.V[i] = s.Beta2*s.V[i] + (1-s.Beta2)*d*d
	}
	if s.Mode == Official {
		s.Gamma = next
	}
}

// normalizer is one over the root mean square of the rates.
func (s *AvaGrad) normalizer(eta func(i int, correction float64) float64, correction float64) float64 {
	sum := 0.0
	for i := range s.V {
		e := eta(i, correction)
		sum += e * e
	}
	return math.Sqrt(float64(len(s.V)) / sum)
}
