package convergence

import "math"

// Names of methods in the experiments.
const (
	NameAdam        = "Adam"
	NameAMSGrad     = "AMSGrad"
	NameAdaBound    = "AdaBound"
	NameSGD         = "SGD"
	NameCSGD        = "CSGD"
	NameDelayedAdam = "Delayed Adam"
)

// Experiments lists what can be run.
func Experiments() []Experiment { return []Experiment{Delay(), Claim(), Stall()} }

// The setting of theorem 2 that the experiments use.
const (
	alpha, c, beta2 = 1, 200, 0.9
	k               = 1000
)

// Delay is theorem 2 of arXiv 1908.04457: bounds with which AdaBound drifts to
// the wrong end as Adam does, for as many steps as one likes, here 1000.
func Delay() Experiment {
	return reddi("adabound-delay", "AdaBound with the bounds of theorem 2 is Adam for 1000 steps, then SGD",
		Theorem2(alpha, c, beta2, k), []int{100, 1000, 2000, 4000, 30000, 60000})
}

// Claim is the same with the usual bounds and a small γ (claim 1).
func Claim() Experiment {
	return reddi("adabound-claim", "AdaBound with the usual bounds and the γ of claim 1",
		Closing(alpha, Claim1(alpha, c, beta2, k)), []int{1000, 2000, 4000, 10000, 20000})
}

func reddi(name, text string, b Bounds, at []int) Experiment {
	constant := func(rate float64) func(int) float64 { return func(int) float64 { return rate } }
	falling := func(rate float64) func(int) float64 {
		return func(t int) float64 { return rate / math.Sqrt(float64(t)) }
	}
	return Experiment{Name: name, Text: text, Problem: Reddi(c, 1), At: at, Methods: []Method{
		{NameAdaBound, func() Rule { return &Algorithm1{Beta2: beta2, Bounds: b} }, constant(alpha)},
		{NameAdam, func() Rule { return &Algorithm1{Beta2: beta2} }, constant(alpha)},
		{NameAMSGrad, func() Rule { return &Algorithm1{Beta2: beta2, AMS: true} }, constant(alpha)},
		{NameSGD, func() Rule { return &SGD{} }, falling(alpha / float64(c))},
		{NameCSGD, func() Rule { return &CSGD{Momentum: 0.9} }, falling(alpha / float64(c))},
		{NameDelayedAdam, func() Rule { return &AvaGrad{Mode: Paper, Beta2: beta2, SkipFirst: true} }, falling(alpha)},
	}}
}

// Stall is the synthetic problem of the AvaGrad paper: Adam with a constant
// rate stays at the wrong end, the delayed form finds the minimum.
func Stall() Experiment {
	const beta2, eps = 0.99, 1e-8
	rate := func(int) float64 { return 1e-4 }
	// With rates of the second moments alone, without bias correction.
	plain := func(ams bool) func() Rule {
		return func() Rule { return &uncorrected{Beta2: beta2, Eps: eps, AMS: ams} }
	}
	return Experiment{Name: "adam-stalls", Text: "Adam divides by what the gradient of the step has just entered; the delayed form does not",
		Problem: Parabola(), At: []int{10000, 100000}, Methods: []Method{
			{NameAdam, plain(false), rate},
			{NameAMSGrad, plain(true), rate},
			{NameDelayedAdam, func() Rule { return &AvaGrad{Mode: Paper, Beta2: beta2, Eps: eps, SkipFirst: true} }, rate},
			{NameSGD, func() Rule { return &SGD{} }, rate},
		}}
}

// uncorrected is Adam without averaging of gradients and without bias
// correction, or AMSGrad.
type uncorrected struct {
	Beta2, Eps float64
	AMS        bool
	Moments
	top []float64
}

// Step implements Rule.
func (s *uncorrected) Step(x, g []float64, lr float64) {
	s.begin(len(x))
	if s.top == nil {
		s.top = make([]float64, len(x))
	}
	for i := range x {
		s.V[i] = s.Beta2*s.V[i] + (1-s.Beta2)*g[i]*g[i]
		v := s.V[i]
		if s.AMS {
			s.top[i] = max(s.top[i], v)
			v = s.top[i]
		}
		x[i] -= lr * g[i] / (math.Sqrt(v) + s.Eps)
	}
}
