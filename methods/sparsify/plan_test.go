package sparsify

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/espalier-ml/espalier/trainer"
)

// fixed is a run of so many steps of 10 samples, 10 steps an epoch.
func fixed(steps uint64) []trainer.Phase { return []trainer.Phase{{Steps: steps, Batch: 10}} }

// Invariant 7, in a plan: the published schedule.
func TestPublishedSchedule(t *testing.T) {
	c := Defaults()
	c.Epochs = 85
	p, err := NewPlan(c, fixed(4*850), 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, round := range p.Rounds {
		for e, want := range map[uint64]float64{0: 1, 1: 1.06510694, 2: 1.13445279, 42: 14.1421356, 83: 187.774572, 84: 200} {
			for _, step := range []uint64{10 * e, 10*e + 9} {
				m := p.At(round.First + step)
				if math.Abs(m.Beta-want) > 1e-8*want || m.Epoch != int(e) || m.Phase != PhaseSearch {
					t.Errorf("epoch %d: %+v, want β %v", e, m, want)
				}
			}
		}
	}
	if p.Rewind != 20 || p.Final != 2550 || !slices.Equal(p.Restarts(), []uint64{850, 1700, 2550}) {
		t.Errorf("rewind to %d, final at %d, restarts %v", p.Rewind, p.Final, p.Restarts())
	}
	if m := p.At(2550); m.Phase != PhaseFinal || m.Beta != 1 {
		t.Errorf("behind the rounds: %+v", m)
	}
}

func TestPlans(t *testing.T) {
	for _, c := range []struct {
		name     string
		edit     func(*Config)
		timeline []trainer.Phase
		firsts   []uint64
		rewind   uint64
		final    uint64
		restarts []uint64
	}{
		{"equal parts", func(*Config) {}, fixed(160), []uint64{0, 40, 80}, 20, 120, []uint64{40, 80, 120}},
		{"the ticket gets what is left", func(*Config) {}, fixed(175), []uint64{0, 40, 80}, 20, 120, []uint64{40, 80, 120}},
		{"pruning alone", func(c *Config) { c.Goal, c.Rounds = GoalPrune, 1 }, fixed(160), []uint64{0}, 20, 160, nil},
		{"pruning and fine-tuning", func(c *Config) { c.Goal, c.Rounds, c.Epochs = GoalPrune, 2, 5 }, fixed(160), []uint64{0, 50}, 20, 100, []uint64{50, 100}},
		{"behind other phases", func(c *Config) { c.Start, c.Rounds, c.Rewind = 4, 1, 0 }, []trainer.Phase{{Steps: 10, Batch: 20}, {Steps: 80, Batch: 10}},
			[]uint64{30}, 30, 60, []uint64{30, 60}},
		{"fractions", func(c *Config) { c.Rise, c.Rounds, c.Epochs, c.Rewind = RiseStep, 2, 1.5, 0.3 }, fixed(40), []uint64{0, 15}, 3, 30, []uint64{15, 30}},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := Defaults()
			c.edit(&cfg)
			p, err := NewPlan(cfg, c.timeline, 100)
			if err != nil {
				t.Fatal(err)
			}
			var firsts []uint64
			for i, r := range p.Rounds {
				firsts = append(firsts, r.First)
				first, last := p.At(r.First), p.At(r.End-1)
				if first.Beta != 1 || math.Abs(last.Beta-200) > 1e-9 || first.Round != i || last.Round != i {
					t.Errorf("round %d goes from %+v to %+v", i, first, last)
				}
			}
			if !slices.Equal(firsts, c.firsts) || p.Rewind != c.rewind || p.Final != c.final || !slices.Equal(p.Restarts(), c.restarts) {
				t.Errorf("rounds at %v, rewind %d, final %d, restarts %v; want %v, %d, %d, %v",
					firsts, p.Rewind, p.Final, p.Restarts(), c.firsts, c.rewind, c.final, c.restarts)
			}
			if c.firsts[0] > 0 && p.At(c.firsts[0]-1) != (Moment{Phase: PhaseDense, Beta: 1}) {
				t.Errorf("before the first round: %+v", p.At(c.firsts[0]-1))
			}
		})
	}
}

func TestPlansThatCannotBe(t *testing.T) {
	for _, c := range []struct {
		name string
		edit func(*Config)
		want string
	}{
		{"too many rounds", func(c *Config) { c.Rounds = 40 }, "do not fit into 16 epochs"},
		{"too long", func(c *Config) { c.Epochs = 6 }, "need 180 steps, the run has 160"},
		{"no time for the ticket", func(c *Config) { c.Rounds, c.Epochs = 2, 8 }, "no step to train the ticket"},
		{"rewind behind the first round", func(c *Config) { c.Rewind = 4 }, "want an epoch of the first round"},
		{"one epoch", func(c *Config) { c.Rounds, c.Epochs, c.Rewind = 8, 1, 0 }, "cannot raise the temperature"},
		{"half epochs", func(c *Config) { c.Epochs = 2.5 }, "want whole epochs"},
		{"rounds of one step", func(c *Config) { c.Rise, c.Epochs, c.Rewind = RiseStep, 0.1, 0 }, "has 1 steps"},
		{"goal", func(c *Config) { c.Goal = "win" }, `goal "win"`},
		{"scale", func(c *Config) { c.Scale = "" }, `scale ""`},
		{"rise", func(c *Config) { c.Rise = "up" }, `rise "up"`},
		{"s0", func(c *Config) { c.S0 = math.NaN() }, "s0 NaN"},
		{"temperature", func(c *Config) { c.Temperature = 0.5 }, "temperature 0.5"},
		{"penalty", func(c *Config) { c.Penalty = -1 }, "penalty -1"},
		{"rounds", func(c *Config) { c.Rounds = 0 }, "0 rounds"},
		{"pattern", func(c *Config) { c.Layers = []string{"["} }, `layers "["`},
	} {
		cfg := Defaults()
		c.edit(&cfg)
		if _, err := NewPlan(cfg, fixed(160), 100); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want mention of %q", c.name, err, c.want)
		}
	}
}
