package convergence

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
)

// Case is a published trajectory: what an optimizer makes of a problem, step
// by step, from X0 on.
type Case struct {
	File, ID        string
	Optimizer, Mode string
	Groups          []Group
	X0              []float64
	Rates           []float64 // of each step; nil: the groups' own
	Bounds          *BoundsSpec
	Box             []float64 // nil, or its two ends
	Gradient        func(t int, x, g []float64)
	Steps           []CaseStep
}

// Group is a range of X0 with hyper-parameters of its own, tensor by tensor.
type Group struct {
	Hyper
	Index   string // its name in CaseStep's maps
	Tensors [][2]int
}

// Hyper are hyper-parameters, as the files name them.
type Hyper struct {
	LR          float64   `json:"lr"`
	Betas       []float64 `json:"betas"`
	Beta1       float64   `json:"beta1"`
	Beta2       float64   `json:"beta2"`
	Schedule    string    `json:"beta1_schedule"`
	Eps         float64   `json:"eps"`
	WeightDecay float64   `json:"weight_decay"`
	Momentum    float64   `json:"momentum"`
	Dampening   float64   `json:"dampening"`
	Nesterov    bool      `json:"nesterov"`
	FinalLR     float64   `json:"final_lr"`
	Gamma       float64   `json:"gamma"`
}

// BoundsSpec names bounds of algorithm 1.
type BoundsSpec struct {
	Type  string  `json:"type"` // luo, theorem2
	Limit float64 `json:"alpha_star"`
	Gamma float64 `json:"gamma"`
	C     float64 `json:"C"`
	K     int     `json:"K"`
}

// CaseStep is the state after a step; what a case does not tell is nil.
// Gamma and Bounds have one value a group; Gamma is the one that the rule's
// state holds.
type CaseStep struct {
	T             int
	X, M, V, VMax []float64
	Gamma         map[string]float64
	Bounds        map[string][]float64
	Eta           map[string][]float64 // algorithm 1: before 1/√t
}

// check says what is wrong with the sizes of a case.
func (c *Case) check() error {
	n := len(c.X0)
	seen := make([]bool, n)
	for _, g := range c.Groups {
		for _, t := range g.Tensors {
			if t[0] < 0 || t[1] < 1 || t[0]+t[1] > n || slices.Contains(seen[t[0]:t[0]+t[1]], true) {
				return fmt.Errorf("tensor at %d of length %d, want all apart within %d", t[0], t[1], n)
			}
			for i := range t[1] {
				seen[t[0]+i] = true
			}
		}
	}
	if slices.Contains(seen, false) {
		return errors.New("a number of x belongs to no tensor")
	}
	if c.Rates != nil && len(c.Rates) < len(c.Steps) || c.Box != nil && len(c.Box) != 2 {
		return fmt.Errorf("%d rates for %d steps, box %v", len(c.Rates), len(c.Steps), c.Box)
	}
	for i, s := range c.Steps {
		for _, v := range [][]float64{s.X, s.M, s.V, s.VMax} {
			if v != nil && len(v) != n {
				return fmt.Errorf("step %d has %d numbers, x has %d", s.T, len(v), n)
			}
		}
		if s.T != i+1 || s.X == nil {
			return fmt.Errorf("step %d stands at place %d, or has no x", s.T, i+1)
		}
	}
	return nil
}

// Rate is the learning rate of a group at step t.
func (c *Case) Rate(g *Group, t int) float64 {
	if c.Rates != nil {
		return c.Rates[t-1]
	}
	return g.LR
}

// Limits are the bounds that a case of algorithm 1 names, for a group.
func (c *Case) Limits(g *Group) (Bounds, error) {
	switch b := c.Bounds; {
	case b == nil:
		return nil, nil
	case b.Type == "luo":
		return Closing(b.Limit, b.Gamma), nil
	case b.Type == "theorem2":
		return Theorem2(g.LR, b.C, g.Beta2, b.K), nil
	default:
		return nil, fmt.Errorf("bounds %q: want luo or theorem2", b.Type)
	}
}

// Rule makes the rule of a group, at its start.
func (c *Case) Rule(g *Group) (Rule, error) {
	h := &g.Hyper
	switch c.Optimizer {
	case "sgd":
		return &SGD{Momentum: h.Momentum, Dampening: h.Dampening, WeightDecay: h.WeightDecay, Nesterov: h.Nesterov}, nil
	case "csgd":
		return &CSGD{Momentum: h.Momentum, WeightDecay: h.WeightDecay}, nil
	case "adam", "adamw":
		return &Adam{Beta1: h.Beta1, Beta2: h.Beta2, Eps: h.Eps, WeightDecay: h.WeightDecay,
			Decoupled: c.Mode == "decoupled" || c.Optimizer == "adamw"}, nil
	case "avagrad", "avagradw", "delayed_adam":
		mode := Mode(c.Mode)
		if !slices.Contains([]Mode{Official, Paper, Fresh}, mode) {
			return nil, fmt.Errorf("mode %q: want official, paper or fresh", c.Mode)
		}
		return &AvaGrad{Mode: mode, Beta1: h.Beta1, Beta2: h.Beta2, Eps: h.Eps, WeightDecay: h.WeightDecay,
			Decoupled: c.Optimizer == "avagradw", Normalize: c.Optimizer != "delayed_adam"}, nil
	case "adabound", "adaboundw", "amsbound", "amsboundw":
		return &AdaBound{Beta1: h.Beta1, Beta2: h.Beta2, Eps: h.Eps, WeightDecay: h.WeightDecay,
			FinalLR: h.FinalLR, Gamma: h.Gamma, BaseLR: h.LR,
			Decoupled: c.Optimizer == "adaboundw" || c.Optimizer == "amsboundw", AMS: strings.HasPrefix(c.Optimizer, "ams")}, nil
	case "adabound_paper", "amsbound_paper":
		if !slices.Contains([]string{"", "constant", "over_t"}, h.Schedule) {
			return nil, fmt.Errorf("beta1 schedule %q: want constant or over_t", h.Schedule)
		}
		b, err := c.Limits(g)
		return &Algorithm1{Beta1: h.Beta1, Beta2: h.Beta2, WeightDecay: h.WeightDecay, Beta1OverT: h.Schedule == "over_t", Bounds: b,
			AMS: strings.HasPrefix(c.Optimizer, "ams")}, err
	}
	return nil, fmt.Errorf("optimizer %q is none of ours", c.Optimizer)
}

// Far is the largest of |got-want| - relative·|want| - absolute, and where.
func Far(got, want []float64, relative, absolute float64) (at int, by float64) {
	by = math.Inf(-1)
	for i, w := range want {
		if d := math.Abs(got[i]-w) - relative*math.Abs(w) - absolute; !(d <= by) {
			at, by = i, d
		}
	}
	return at, by
}

// Pick returns the numbers of x that belong to the group.
func (g *Group) Pick(x []float64) (part []float64) {
	for _, t := range g.Tensors {
		part = append(part, x[t[0]:t[0]+t[1]]...)
	}
	return part
}

// Put is the inverse of Pick.
func (g *Group) Put(x, part []float64) {
	for _, t := range g.Tensors {
		part = part[copy(x[t[0]:t[0]+t[1]], part):]
	}
}
