package sparsify

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/espalier-ml/espalier/trainer"
	"github.com/espalier-ml/espalier/trainer/optim"
)

// follower compares every step of a run with the rules of gate.go, in
// float64, from the state before the step.
type follower struct {
	t     *testing.T
	plan  *Plan
	c     float64 // an open gate
	decay float64

	s, w, ms, mw, ds, dw map[string][]float32
	seen                 map[Phase]int
}

func (f *follower) On(e trainer.Event, r *trainer.Run) error {
	now := f.plan.At(r.Step)
	switch e {
	case trainer.Boundary:
		f.s, f.w, f.ms, f.mw = map[string][]float32{}, map[string][]float32{}, map[string][]float32{}, map[string][]float32{}
		f.ds, f.dw = map[string][]float32{}, map[string][]float32{}
		for _, l := range layers(r.Graph()) {
			f.s[l.w.Name], f.w[l.w.Name] = values(f.t, r, l.soft.W), values(f.t, r, l.w.W)
		}
		for _, x := range r.Optim().Entries {
			if s := x.Slots; len(s) > 0 {
				f.mw[x.Param.Name] = values(f.t, r, s[0])
			}
		}
	case trainer.Reduced:
		for _, l := range layers(r.Graph()) {
			f.gates(r, l, now)
		}
	case trainer.Stepped:
		was := f.plan.At(r.Step - 1)
		f.seen[was.Phase]++
		for _, l := range layers(r.Graph()) {
			f.update(r, l, r.Step-1, was)
		}
	}
	return nil
}

func (f *follower) gates(r *trainer.Run, l layer, now Moment) {
	name := l.w.Name
	f.dw[name], f.ds[name] = values(f.t, r, l.w.G), values(f.t, r, l.soft.G)
	gates := values(f.t, r, l.gate.W)
	for i, s := range f.s[name] {
		want, slope := Hard(float64(s), f.c), 0.0
		switch now.Phase {
		case PhaseSearch:
			want = Soft(float64(s), now.Beta, f.c)
			slope = Slope(float64(s), float64(f.w[name][i]), float64(f.dw[name][i]), now.Beta, f.c, f.plan.Config.Penalty)
		case PhaseDense:
			want = 1
		}
		f.near("gate", r.Step, name, i, gates[i], want, 1e-6)
		f.near("slope", r.Step, name, i, f.ds[name][i], slope, 1e-5*(1+math.Abs(slope)))
		if now.Phase == PhaseFinal && want == 0 && f.dw[name][i] != 0 {
			f.t.Errorf("step %d: %s[%d] is removed and has gradient %v", r.Step, name, i, f.dw[name][i])
		}
	}
}

// update checks Nesterov's rule: decay for w, none for s. The factor of the
// rate follows from the plan's restarts.
func (f *follower) update(r *trainer.Run, l layer, step uint64, was Moment) {
	first, end := uint64(0), f.plan.Steps
	for _, s := range f.plan.Restarts() {
		if s > step {
			end = s
			break
		}
		first = s
	}
	rate := r.Optim().Config.LR * (optim.Schedule{Decay: optim.Cosine}).At(step-first, end-first)
	fresh := step == 0 || step == f.plan.Final && f.plan.Config.Goal == GoalTicket
	rule := func(x, g, m float32, decay float64) float64 {
		d := float64(g) + decay*float64(x)
		buf := 0.9*float64(m) + d
		if fresh {
			buf = d
		}
		return float64(x) - rate*(d+0.9*buf)
	}
	name := l.w.Name
	if r.Step < r.Steps() { // the last step folds the gates into w
		for i, v := range values(f.t, r, l.w.W) {
			f.near("w", step, name, i, v, rule(f.w[name][i], f.dw[name][i], f.mw[name][i], f.decay), 1e-6)
		}
	}
	for i, v := range values(f.t, r, l.soft.W) {
		if was.Phase != PhaseSearch {
			if v != f.s[name][i] {
				f.t.Errorf("step %d: s of %s[%d] moved from %v to %v outside of rounds", step, name, i, f.s[name][i], v)
			}
			continue
		}
		want := rule(f.s[name][i], f.ds[name][i], f.mw[l.soft.Name][i], 0)
		f.near("s", step, name, i, v, want, 1e-6*(1+math.Abs(want)))
	}
}

func (f *follower) near(what string, step uint64, name string, i int, got float32, want, tolerance float64) {
	if math.Abs(float64(got)-want) > tolerance {
		f.t.Errorf("step %d: %s of %s[%d] is %v, want %v", step, what, name, i, got, want)
	}
}

// Every step of a run does what the rules say, in every phase and mode.
func TestRunsFollowTheRules(t *testing.T) {
	for _, c := range []struct {
		name string
		edit func(*job)
	}{
		{"ticket", func(j *job) {}},
		{"sparse, steps", func(j *job) { j.sparsify.S0, j.sparsify.Rise = -0.1, RiseStep }},
		{"no scaling", func(j *job) { j.sparsify.Scale, j.sparsify.S0 = ScaleNone, 0.1 }},
		{"prune after dense epochs", func(j *job) { j.sparsify.Goal, j.sparsify.Start, j.sparsify.Epochs = GoalPrune, 1, 3 }},
		{"resnet", func(j *job) { j.model, j.steps, j.sparsify.Rounds, j.sparsify.Epochs = smallResNet, 24, 1, 3 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			j := digits(smallMLP)
			c.edit(&j)
			f := &follower{t: t, c: j.sparsify.factor(), decay: j.optim.WeightDecay, seen: map[Phase]int{}}
			j.probe = f.On
			j.edit = func(cfg *trainer.Config) { f.plan = cfg.Methods[0].(*Method).plan }
			j.run(t)
			want := map[Phase]int{PhaseSearch: int(f.plan.Final - f.plan.Rounds[0].First), PhaseFinal: int(f.plan.Steps - f.plan.Final)}
			for p, n := range want {
				if f.seen[p] != n {
					t.Errorf("%d steps of phase %d, want %d", f.seen[p], p, n)
				}
			}
		})
	}
}

// Invariant 1: a round begins with gates of exactly 1, and with s₀ = 0 held
// there and no penalty a round is dense training, bit for bit.
func TestOpenGatesAreDenseTraining(t *testing.T) {
	for _, s0 := range []float64{-0.3, -0.1, 0, 0.05, 0.2} {
		j := digits(smallMLP)
		j.sparsify.S0 = s0
		j.probe = func(e trainer.Event, r *trainer.Run) error {
			if e != trainer.Boundary || r.Step != 0 {
				return nil
			}
			for _, l := range layers(r.Graph()) {
				for i, v := range values(t, r, l.gate.W) {
					if v != 1 {
						t.Fatalf("s₀ %v: gate %d of %s is %v", s0, i, l.w.Name, v)
					}
				}
			}
			return nil
		}
		j.run(t)
	}
	for _, j := range []job{digits(smallMLP), digits(smallResNet)} {
		var got, want map[string][]float32
		j.sparsify = Defaults()
		j.sparsify.Goal, j.sparsify.Rounds, j.sparsify.Rate, j.sparsify.Penalty = GoalPrune, 1, 0, 0
		look := func(to *map[string][]float32) probe {
			return func(e trainer.Event, r *trainer.Run) error {
				if e == trainer.Boundary && r.Step == r.Steps()-1 {
					*to = params(t, r)
				}
				return nil
			}
		}
		j.probe = look(&got)
		j.run(t)
		j.probe = look(&want)
		j.edit = func(c *trainer.Config) { c.Methods = c.Methods[1:] }
		j.run(t)
		for name, v := range want {
			if !slices.Equal(v, got[name]) {
				t.Errorf("%s: %s differs from dense training", j.model.Name, name)
			}
		}
	}
}

// What happens between rounds and behind them.
func TestRoundsAndRewinding(t *testing.T) {
	j := digits(smallMLP)
	var atRewind, before map[string][]float32
	var tickets []*Ticket
	j.onTicket = func(x *Ticket) error { tickets = append(tickets, x); return nil }
	var gatesAtEnd map[string][]float32
	var p *Plan
	j.edit = func(c *trainer.Config) { p = c.Methods[0].(*Method).plan }
	look := func(r *trainer.Run) map[string][]float32 {
		all := map[string][]float32{}
		for _, l := range layers(r.Graph()) {
			all[l.w.Name] = values(t, r, l.gate.W)
		}
		return all
	}
	j.probe = func(e trainer.Event, r *trainer.Run) error {
		switch {
		case e == trainer.Boundary && r.Step == p.Rewind:
			atRewind = params(t, r)
		case e == trainer.Stepped && r.Step == p.Rounds[0].End:
			before, gatesAtEnd = params(t, r), look(r)
		case e == trainer.Boundary && r.Step == p.Rounds[1].First:
			for name, v := range params(t, r) {
				if !slices.Equal(v, before[name]) {
					t.Errorf("%s changed between rounds", name)
				}
			}
			for name, v := range look(r) {
				for i, g := range v {
					closed := gatesAtEnd[name][i] < 1
					if closed && math.Abs(float64(g-gatesAtEnd[name][i])) > 1e-6 || !closed && g != 1 {
						t.Errorf("%s: gate %d goes from %v to %v", name, i, gatesAtEnd[name][i], g)
					}
				}
			}
		case e == trainer.Reduced && r.Step == p.Final: // the first step of the ticket, before its update
			for name, v := range params(t, r) {
				if find(r, name) != nil && !slices.Equal(v, atRewind[name]) {
					t.Errorf("%s is not what it was at step %d", name, p.Rewind)
				}
			}
		}
		return nil
	}
	j.run(t)
	if len(tickets) != 2 {
		t.Fatalf("%d tickets, want one a round", len(tickets))
	}
	for i, x := range tickets {
		if x.Round != i || x.Step != p.Rewind || len(x.Masks) != 2 || x.Total() != 64*16+16*12 || x.Kept() == 0 || x.Kept() == x.Total() {
			t.Errorf("ticket %d: round %d, step %d, %d masks, %d of %d kept", i, x.Round, x.Step, len(x.Masks), x.Kept(), x.Total())
		}
		for _, v := range x.Values {
			if !slices.Equal(v.Values, atRewind[v.Name]) {
				t.Errorf("ticket %d: %s is not what it was at step %d", i, v.Name, p.Rewind)
			}
		}
	}
}

// At the end removed weights are exactly zero, also without an epoch behind
// the last round.
func TestRemovedWeightsAreZero(t *testing.T) {
	for _, edit := range []func(*Config){
		func(c *Config) {},
		func(c *Config) { c.Goal, c.Epochs, c.Rounds = GoalPrune, 0, 1 },
		func(c *Config) { c.Goal = GoalPrune },
	} {
		j := digits(smallMLP)
		edit(&j.sparsify)
		checked := 0
		var last *Ticket
		j.onTicket = func(x *Ticket) error { last = x; return nil }
		j.probe = func(e trainer.Event, r *trainer.Run) error {
			if e != trainer.Finished {
				return nil
			}
			for _, m := range last.Masks {
				for i, v := range values(t, r, find(r, m.Name).W) {
					if !m.Keeps(i) && math.Float32bits(v) != 0 || m.Keeps(i) && v == 0 {
						t.Errorf("%s[%d] is %v, kept %v", m.Name, i, v, m.Keeps(i))
					}
					checked++
				}
			}
			return nil
		}
		j.run(t)
		if checked != 64*16+16*12 {
			t.Errorf("looked at %d weights", checked)
		}
	}
}

// Invariant 10: layers without an open gate break nothing.
func TestAllRemoved(t *testing.T) {
	for _, goal := range []Goal{GoalTicket, GoalPrune} {
		for _, model := range []string{"mlp", "resnet-8"} {
			j := digits(smallMLP)
			if model != "mlp" {
				j = digits(smallResNet)
			}
			j.sparsify.Goal, j.sparsify.S0, j.sparsify.Scale, j.sparsify.Penalty = goal, -0.2, ScaleNone, 10
			var last *Ticket
			j.onTicket = func(x *Ticket) error { last = x; return nil }
			res := j.run(t)
			if last.Kept() != 0 {
				t.Errorf("%d weights kept, want none for this test", last.Kept())
			}
			if l := float64(res.Eval.Loss); math.IsNaN(l) || math.IsInf(l, 0) {
				t.Errorf("%s, %s: loss %v", goal, model, l)
			}
			for _, d := range last.Layers() {
				if d.Density() != 0 || d.Total == 0 {
					t.Errorf("%s: %d of %d kept", d.Name, d.Kept, d.Total)
				}
			}
		}
	}
}

// Hard measurements during rounds do not change the run.
func TestHardEvaluationChangesNothing(t *testing.T) {
	j := digits(smallMLP)
	j.edit = func(c *trainer.Config) { c.EvalEvery = 5 }
	want := j.run(t)
	j.sparsify.HardEval = true
	if got := j.run(t); got.Digest != want.Digest {
		t.Errorf("digest %v, with soft measurements %v", got.Digest, want.Digest)
	}
}

// All optimizers train with gates.
func TestOtherOptimizers(t *testing.T) {
	for _, k := range []optim.Kind{optim.Adam, optim.AdamW} {
		j := digits(smallMLP)
		j.optim = optim.Defaults(k)
		if res := j.run(t); !res.Done || math.IsNaN(float64(res.Eval.Loss)) {
			t.Errorf("%s: ended at %d with loss %v", k, res.Step, res.Eval.Loss)
		}
	}
}

func Example() {
	c := Defaults()
	c.Epochs = 85
	timeline := []trainer.Phase{{Steps: 4 * 85 * 352, Batch: 128}}
	p, err := NewPlan(c, timeline, 352*128)
	if err != nil {
		panic(err)
	}
	for _, step := range []uint64{0, 85*352 - 1, 85 * 352, p.Final} {
		m := p.At(step)
		fmt.Printf("step %d: phase %d, round %d, temperature %.0f\n", step, m.Phase, m.Round, m.Beta)
	}
	// Output:
	// step 0: phase 1, round 0, temperature 1
	// step 29919: phase 1, round 0, temperature 200
	// step 29920: phase 1, round 1, temperature 1
	// step 89760: phase 2, round 0, temperature 1
}
