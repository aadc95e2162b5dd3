package optim

import (
	"fmt"
	"math"
)

// Decay names the shape of a learning rate schedule.
type Decay string

// Shapes.
const (
	Constant Decay = "constant"
	Cosine   Decay = "cosine" // half a period from 1 to Floor (Loshchilov and Hutter, arXiv 1608.03983)
	Linear   Decay = "linear"
	Step     Decay = "step" // Gamma at every milestone
)

// Schedule is the factor of the base rate over a run. It is a function of the
// share of steps done, so that growing stages and fixed training of unequal
// step counts follow the same curve.
type Schedule struct {
	Decay Decay
	// Warmup is the share of steps over which the rate rises from 0.
	Warmup float64
	// Floor is the factor at the end of cosine and linear decay.
	Floor float64
	// Milestones are shares of the run; Gamma multiplies the rate at each.
	Milestones []float64
	Gamma      float64
}

// Validate says what is wrong with a schedule.
func (s Schedule) Validate() error {
	switch s.Decay {
	case Constant, Cosine, Linear, Step:
	default:
		return fmt.Errorf("schedule %q: want constant, cosine, linear or step", s.Decay)
	}
	if !(s.Warmup >= 0 && s.Warmup < 1) || !(s.Floor >= 0 && s.Floor <= 1) {
		return fmt.Errorf("schedule %s: warm-up %v and floor %v: want shares of 1", s.Decay, s.Warmup, s.Floor)
	}
	if s.Decay == Step && (len(s.Milestones) == 0 || !(s.Gamma > 0 && s.Gamma <= 1)) {
		return fmt.Errorf("schedule step: want milestones and a gamma above 0 up to 1, not %v and %v", s.Milestones, s.Gamma)
	}
	for i, m := range s.Milestones {
		if !(m > 0 && m < 1) || i > 0 && m <= s.Milestones[i-1] {
			return fmt.Errorf("schedule %s: milestones %v: want rising shares between 0 and 1", s.Decay, s.Milestones)
		}
	}
	return nil
}

// At is the factor for step of total steps, step counting from 0.
func (s Schedule) At(step, total uint64) float64 {
	if total == 0 {
		return 1
	}
	t := float64(step) / float64(total)
	if warm := math.Round(s.Warmup * float64(total)); float64(step) < warm {
		return (float64(step) + 1) / warm
	}
	switch s.Decay {
	case Cosine:
		u := (t - s.Warmup) / (1 - s.Warmup)
		return s.Floor + (1-s.Floor)*(1+math.Cos(math.Pi*min(max(u, 0), 1)))/2
	case Linear:
		u := (t - s.Warmup) / (1 - s.Warmup)
		return 1 - (1-s.Floor)*min(max(u, 0), 1)
	case Step:
		f := 1.0
		for _, m := range s.Milestones {
			if t >= m {
				f *= s.Gamma
			}
		}
		return f
	}
	return 1
}
