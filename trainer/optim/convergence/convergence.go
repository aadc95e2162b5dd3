// Package convergence holds the update rules of adaptive optimizers as they
// are published, in float64, and the small stochastic problems that tell them
// apart: on which of them Adam stays at the wrong end, AdaBound is delayed as
// long as one likes, and SGD, AMSGrad and the delayed forms arrive.
//
//	for _, e := range convergence.Experiments() {
//		e.Run(64).Write(os.Stdout)
//	}
//
// It is also the oracle of package optim, whose kernels must follow the same
// trajectories: [Read] reads published ones from files, and a [Case] knows
// the rules that make them.
//
// Promises: a result is a function of experiment and number of seeds. The
// rules are written for reading, not for speed.
//
// Left to others: training networks (optim, trainer).
//
// Sources: Reddi, Kale, Kumar, ICLR 2018; Savarese, arXiv 1908.04457;
// Savarese, McAllester, Babu, Maire, CVPR 2021, arXiv 1912.01823.
package convergence

import (
	"fmt"
	"io"

	"github.com/espalier-ml/espalier/kernels/philox"
)

// Problem is a convex function of one variable, seen through noise: its
// gradient is Rare with probability P, Often otherwise.
type Problem struct {
	P           float64
	Rare, Often func(x float64) float64
	Low, High   float64 // x is projected to [Low, High]
	Start, Best float64
}

// Reddi is the problem of Reddi et al. and of theorem 2: f_t(x) is Cx with
// probability (1+delta)/(C+1), else -x; the mean delta·x is least at -1.
func Reddi(c, delta float64) Problem {
	return Problem{P: (1 + delta) / (c + 1), Low: -1, High: 1, Best: -1,
		Rare: func(float64) float64 { return c }, Often: func(float64) float64 { return -1 }}
}

// Parabola is the synthetic problem of the AvaGrad paper: 999x²/2 once in 500
// steps, else -x; the mean is least at 499/999.
func Parabola() Problem {
	return Problem{P: 1. / 500, High: 1, Start: 1, Best: 499. / 999,
		Rare: func(x float64) float64 { return 999 * x }, Often: func(float64) float64 { return -1 }}
}

// Method is a row of an experiment.
type Method struct {
	Name string
	Rule func() Rule // elementwise: seeds are its coordinates
	Rate func(t int) float64
}

// Experiment runs methods on the same draws of a problem.
type Experiment struct {
	Name, Text string
	Problem    Problem
	Methods    []Method
	At         []int // steps after which the mean of x is recorded, rising
}

// Result is the mean of x over seeds: Mean[method][i] after Experiment.At[i].
type Result struct {
	Experiment Experiment
	Seeds      int
	Mean       [][]float64
}

// Run draws the noise of every seed and lets every method run to the last
// step of At.
func (e Experiment) Run(seeds int) Result {
	r := Result{Experiment: e, Seeds: seeds, Mean: make([][]float64, len(e.Methods))}
	walks := make([]*walk, len(e.Methods))
	for i, m := range e.Methods {
		walks[i] = newWalk(e.Problem, m, seeds)
	}
	rare := make([]bool, seeds)
	t := 0
	for _, end := range e.At {
		for t < end {
			t++
			e.Problem.draw(t, rare)
			for _, w := range walks {
				w.step(t, rare)
			}
		}
		for i, w := range walks {
			r.Mean[i] = append(r.Mean[i], w.mean())
		}
	}
	return r
}

// draw tells for every seed whether step t is a rare one.
func (p *Problem) draw(t int, rare []bool) {
	key := philox.NewKey(uint64(t), "convergence")
	limit := uint64(p.P * (1 << 32))
	for i := 0; i < len(rare); i += 4 {
		for k, u := range key.Index(uint64(i / 4)) {
			if i+k < len(rare) {
				rare[i+k] = uint64(u) < limit
			}
		}
	}
}

// walk is a method on its way, one coordinate a seed.
type walk struct {
	p    Problem
	m    Method
	rule Rule
	x, g []float64
}

func newWalk(p Problem, m Method, seeds int) *walk {
	w := &walk{p: p, m: m, rule: m.Rule(), x: make([]float64, seeds), g: make([]float64, seeds)}
	for i := range w.x {
		w.x[i] = p.Start
	}
	return w
}

func (w *walk) step(t int, rare []bool) {
	for i, x := range w.x {
		if rare[i] {
			w.g[i] = w.p.Rare(x)
		} else {
			w.g[i] = w.p.Often(x)
		}
	}
	w.rule.Step(w.x, w.g, w.m.Rate(t))
	for i, x := range w.x {
		w.x[i] = min(max(x, w.p.Low), w.p.High)
	}
}

func (w *walk) mean() float64 {
	sum := 0.0
	for _, x := range w.x {
		sum += x
	}
	return sum / float64(len(w.x))
}

// Of is the mean of x of a method after step t, which must be in At.
func (r Result) Of(method string, t int) float64 {
	for i, m := range r.Experiment.Methods {
		for k, at := range r.Experiment.At {
			if m.Name == method && at == t {
				return r.Mean[i][k]
			}
		}
	}
	panic(fmt.Sprintf("convergence: experiment %s has no %s at %d", r.Experiment.Name, method, t))
}

// Write writes the result as a table.
func (r Result) Write(w io.Writer) error {
	e := r.Experiment
	s := fmt.Sprintf("%s: %s\nMean x of %d seeds; the minimum is at %.4g.\n\n| method |", e.Name, e.Text, r.Seeds, e.Problem.Best)
	rule := "|---|"
	for _, t := range e.At {
		s += fmt.Sprintf(" %d |", t)
		rule += "---|"
	}
	s += "\n" + rule + "\n"
	for i, m := range e.Methods {
		s += "| " + m.Name + " |"
		for _, x := range r.Mean[i] {
			s += fmt.Sprintf(" %.3f |", x)
		}
		s += "\n"
	}
	_, err := io.WriteString(w, s)
	return err
}
