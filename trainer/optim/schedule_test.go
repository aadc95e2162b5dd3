package optim

import (
	"math"
	"strings"
	"testing"
)

func TestScheduleFactors(t *testing.T) {
	cos := func(u float64) float64 { return (1 + math.Cos(math.Pi*u)) / 2 }
	for _, c := range []struct {
		name  string
		s     Schedule
		step  uint64
		total uint64
		want  float64
	}{
		{"constant", Schedule{Decay: Constant}, 77, 100, 1},
		{"cosine starts at 1", Schedule{Decay: Cosine}, 0, 100, 1},
		{"cosine half way", Schedule{Decay: Cosine}, 50, 100, 0.5},
		{"cosine near the end", Schedule{Decay: Cosine}, 99, 100, cos(0.99)},
		{"cosine with floor", Schedule{Decay: Cosine, Floor: 0.1}, 50, 100, 0.55},
		{"warm-up first step", Schedule{Decay: Cosine, Warmup: 0.1}, 0, 100, 0.1},
		{"warm-up last step", Schedule{Decay: Cosine, Warmup: 0.1}, 9, 100, 1},
		{"decay begins behind the warm-up", Schedule{Decay: Cosine, Warmup: 0.1}, 55, 100, 0.5},
		{"linear", Schedule{Decay: Linear}, 25, 100, 0.75},
		{"step before", Schedule{Decay: Step, Milestones: []float64{0.5, 0.75}, Gamma: 0.1}, 49, 100, 1},
		{"step between", Schedule{Decay: Step, Milestones: []float64{0.5, 0.75}, Gamma: 0.1}, 50, 100, 0.1},
		{"step behind", Schedule{Decay: Step, Milestones: []float64{0.5, 0.75}, Gamma: 0.1}, 75, 100, 0.01},
		{"no steps", Schedule{Decay: Cosine}, 0, 0, 1},
	} {
		if err := c.s.Validate(); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if got := c.s.At(c.step, c.total); math.Abs(got-c.want) > 1e-12 {
			t.Errorf("%s: factor %v at %d of %d, want %v", c.name, got, c.step, c.total, c.want)
		}
	}
}

func TestWrongSettingsAreNamed(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{Schedule{Decay: "sine"}.Validate(), "sine"},
		{Schedule{Decay: Cosine, Warmup: 1}.Validate(), "warm-up"},
		{Schedule{Decay: Step}.Validate(), "milestones"},
		{Schedule{Decay: Step, Gamma: 0.1, Milestones: []float64{0.7, 0.5}}.Validate(), "rising"},
		{Config{Kind: "lion"}.Validate(), "lion"},
		{Config{Kind: SGD, LR: math.NaN()}.Validate(), "learning rate"},
		{Config{Kind: SGD, Momentum: 1}.Validate(), "never forgets"},
		{Config{Kind: SGD, Nesterov: true}.Validate(), "nesterov"},
		{Config{Kind: Adam, Beta1: 0.9, Beta2: 1, Eps: 1e-8}.Validate(), "betas"},
		{Config{Kind: AdamW, Beta1: 0.9, Beta2: 0.99, Eps: 0}.Validate(), "eps"},
		{Config{Kind: Adam, Mode: Fresh, Eps: 1}.Validate(), "no modes"},
		{Config{Kind: AvaGrad, Mode: "stale", Eps: 1}.Validate(), "stale"},
		{Config{Kind: AvaGrad, Eps: 1e-20}.Validate(), "1e-12"},
		{Config{Kind: AvaGrad, Eps: 0.1, Gamma: 1}.Validate(), "belong to adabound"},
		{Config{Kind: AvaGrad, Eps: 0.1, Nesterov: true}.Validate(), "nesterov"},
		{Config{Kind: CSGD, Momentum: 0.9, Dampening: 0.9}.Validate(), "leave dampening out"},
		{Config{Kind: CSGD, Momentum: 1}.Validate(), "never forgets"},
		{Config{Kind: AdaBound, Mode: Fresh, LR: 1, FinalLR: 1, Gamma: 1, Eps: 1}.Validate(), "fresh"},
		{Config{Kind: AdaBound, FinalLR: 1, Gamma: 1, Eps: 1}.Validate(), "bounds are made of them"},
		{Config{Kind: AdaBound, LR: 1e-30, FinalLR: 1, Gamma: 1e-9, Eps: 1}.Validate(), "too wide"},
		{Config{Kind: AdaBound, LR: 1, FinalLR: 1, Gamma: 1, Eps: 1, Box: [2]float64{0, 1}}.Validate(), "mode paper"},
		{Config{Kind: AdaBound, Mode: Paper, LR: 1, FinalLR: 1, Gamma: 1, Box: [2]float64{1, 0}}.Validate(), "lower end first"},
		{Config{Kind: AdaBoundW, Mode: Paper, LR: 1, FinalLR: 1, Gamma: 1}.Validate(), "use adabound"},
	} {
		if c.err == nil || !strings.Contains(c.err.Error(), c.want) {
			t.Errorf("%v: want mention of %q", c.err, c.want)
		}
	}
	for _, k := range Kinds {
		if err := Defaults(k).Validate(); err != nil {
			t.Errorf("defaults of %s: %v", k, err)
		}
	}
}
