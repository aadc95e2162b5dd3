package sparsify

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/espalier-ml/espalier/collective"
	"github.com/espalier-ml/espalier/collective/solo"
	"github.com/espalier-ml/espalier/kernels"
	"github.com/espalier-ml/espalier/methods/grow"
	"github.com/espalier-ml/espalier/trainer"
	"github.com/espalier-ml/espalier/trainer/graph"
	"github.com/espalier-ml/espalier/trainer/models"
)

// Invariant 9, without rounding: one, two and four ranks end with the same
// bits and make the same tickets.
func TestSameBitsForAnyWorld(t *testing.T) {
	for _, goal := range []Goal{GoalTicket, GoalPrune} {
		var want trainer.Result
		var first []byte
		for _, world := range []int{1, 2, 4} {
			j := digits(smallResNet)
			j.sparsify.Goal, j.sparsify.Rise, j.sparsify.Rounds, j.sparsify.Epochs, j.steps = goal, RiseStep, 1, 3, 18
			var bits []byte
			comms := group(t, world)
			j.edit = func(c *trainer.Config) {
				if c.Comm.Info().Rank == 0 {
					c.Methods[0].(*Method).OnTicket = func(x *Ticket) error {
						for _, m := range x.Masks {
							bits = append(bits, m.Bits...)
						}
						return nil
					}
				}
			}
			got := j.run(t, comms...)
			if world == 1 {
				want, first = got, bits
				continue
			}
			if got.Digest != want.Digest || got.Eval.Loss != want.Eval.Loss || !slices.Equal(bits, first) {
				t.Errorf("%s: %d ranks end with %v and loss %v, one with %v and %v", goal, world, got.Digest, got.Eval.Loss, want.Digest, want.Eval.Loss)
			}
		}
	}
}

// A run that is stopped after any step, and goes on with two ranks, ends with
// the bits of one that is not stopped.
func TestResumeIsExact(t *testing.T) {
	for _, c := range []struct {
		name string
		edit func(*Config)
	}{
		{"ticket", func(*Config) {}},
		{"ticket by steps, hard measurements", func(c *Config) { c.Rise, c.HardEval = RiseStep, true }},
		{"prune after a dense epoch", func(c *Config) { c.Goal, c.Start = GoalPrune, 1 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			j := digits(smallMLP)
			c.edit(&j.sparsify)
			want := j.run(t)
			_, m := j.config(t, solo.New(collective.Gen{}))
			p := m.plan
			// Around every event: dense, rewind, rounds, final, and inside.
			at := []uint64{1, p.Rewind, p.Rewind + 1, p.Rounds[0].First + 5, p.Rounds[1].First, p.Rounds[1].First + 1, p.Final - 1, p.Final, p.Final + 1, p.Final + 4, p.Steps - 1}
			if testing.Short() {
				at = at[3:8]
			}
			for _, stop := range at {
				dir := t.TempDir()
				k := j
				k.edit = func(c *trainer.Config) { c.Dir = dir }
				k.probe = func(e trainer.Event, r *trainer.Run) error {
					if e == trainer.Boundary && r.Step+1 == stop {
						r.RequestStop()
					}
					return nil
				}
				if got := k.run(t); got.Step != stop {
					t.Fatalf("stopped at step %d, want %d", got.Step, stop)
				}
				k.probe = nil
				if got := k.run(t, group(t, 2)...); got.Digest != want.Digest || got.Eval.Loss != want.Eval.Loss {
					t.Errorf("stopped at step %d: digest %v, uninterrupted %v", stop, got.Digest, want.Digest)
				}
			}
		})
	}
}

// The finished network is an ordinary one: without the method its parameters
// compute the same, to the bit.
func TestFinishedNetworkIsOrdinary(t *testing.T) {
	for _, spec := range []models.Spec{smallMLP, smallResNet} {
		j := digits(spec)
		j.sparsify.S0, j.steps, j.sparsify.Epochs, j.sparsify.Rounds = -0.05, 20, 3, 1
		var end map[string][]float32
		j.probe = func(e trainer.Event, r *trainer.Run) error {
			if e == trainer.Finished {
				end = params(t, r)
			}
			return nil
		}
		cfg, _ := j.config(t, solo.New(collective.Gen{}))
		res, err := trainer.Train(context.Background(), cfg, nil)
		if err != nil {
			t.Fatal(err)
		}
		if loss := ordinaryLoss(t, cfg, end); loss != float64(res.Eval.Loss) {
			t.Errorf("%s: loss %v, with gates %v", spec.Name, loss, res.Eval.Loss)
		}
	}
}

// ordinaryLoss evaluates the model of a run, traced without methods, with the
// given values.
func ordinaryLoss(t *testing.T, cfg trainer.Config, values map[string][]float32) float64 {
	t.Helper()
	g, err := models.Trace(cfg.Model, graph.Config{}, 128)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range append(g.Params(), g.States()...) {
		if p.W.Buf, err = cfg.Device.Alloc(p.W.Bytes()); err != nil {
			t.Fatal(err)
		}
		if err := cfg.Device.WriteF32(p.W, values[p.Name]); err != nil {
			t.Fatal(err)
		}
	}
	prog, err := g.Compile(cfg.Device)
	if err != nil {
		t.Fatal(err)
	}
	defer prog.Close()
	e := trainer.Evaluator{Device: cfg.Device, Comm: solo.New(collective.Gen{}), Program: prog, Rows: 128, Source: cfg.Test}
	loss, _, _, err := e.Evaluate(context.Background(), 0)
	if err != nil {
		t.Fatal(err)
	}
	return loss
}

// grownThenThinned is a run that grows for 12 steps and is thinned after it.
func grownThenThinned(t *testing.T, j *job) {
	t.Helper()
	j.edit = func(c *trainer.Config) {
		m := c.Methods[0].(*Method)
		trace, err := models.Trace(c.Model, graph.Config{}, 1)
		if err != nil {
			t.Fatal(err)
		}
		gc := grow.Defaults()
		gc.Multipliers = []float64{0.5, 0.75, 1}
		gc.Epochs = []float64{1, 1, float64(j.steps/4) - 2}
		gp, err := grow.NewPlan(gc, trace.Dims(), j.samples, float64(j.steps/4), j.batch, 4)
		if err != nil {
			t.Fatal(err)
		}
		c.Sizes, c.Timeline, c.Stages = gp.Initial(), gp.Timeline(), len(gp.Stages)
		p, err := NewPlan(j.sparsify, gp.Timeline(), j.samples)
		if err != nil {
			t.Fatal(err)
		}
		m.plan, c.Restarts = p, p.Restarts()
		c.Methods = append([]trainer.Method{grow.New(gp)}, c.Methods...)
	}
}

// A run that grows first: same bits at any world, resumed inside either
// method's part; growing inside a round is refused.
func TestGrowThenThin(t *testing.T) {
	j := digits(smallResNet)
	j.steps, j.sparsify.Start, j.sparsify.Rounds, j.sparsify.Epochs, j.sparsify.S0 = 32, 3, 1, 3, -0.1
	grownThenThinned(t, &j)
	want := j.run(t)
	if want.Params < 4000 {
		t.Errorf("%d parameters at the end", want.Params)
	}
	if got := j.run(t, group(t, 4)...); got.Digest != want.Digest {
		t.Errorf("four ranks end with %v, one with %v", got.Digest, want.Digest)
	}
	for _, stop := range []uint64{6, 12, 13, 18, 24, 25} {
		dir := t.TempDir()
		k := j
		edit := j.edit
		k.edit = func(c *trainer.Config) { edit(c); c.Dir = dir }
		k.probe = func(e trainer.Event, r *trainer.Run) error {
			if e == trainer.Boundary && r.Step+1 == stop {
				r.RequestStop()
			}
			return nil
		}
		k.run(t)
		k.probe = nil
		if got := k.run(t, group(t, 2)...); got.Digest != want.Digest {
			t.Errorf("stopped at step %d: digest %v, uninterrupted %v", stop, got.Digest, want.Digest)
		}
	}

	j.sparsify.Start = 0
	grownThenThinned(t, &j)
	cfg, _ := j.config(t, solo.New(collective.Gen{}))
	if _, err := trainer.Train(context.Background(), cfg, nil); err == nil || !strings.Contains(err.Error(), "let growth end before start") {
		t.Errorf("growing inside a round: error %v", err)
	}
}

// Widths that change keep soft masks at s₀ and gates open.
func TestGatesGrow(t *testing.T) {
	j := digits(smallMLP)
	j.steps, j.sparsify.Start, j.sparsify.Rounds, j.sparsify.Epochs, j.sparsify.S0 = 32, 3, 1, 3, 0.1
	seen := 0
	j.probe = func(e trainer.Event, r *trainer.Run) error {
		if e != trainer.Reduced || r.Step > 12 {
			return nil
		}
		for _, l := range layers(r.Graph()) {
			s, g := values(t, r, l.soft.W), values(t, r, l.gate.W)
			for i := range s {
				if s[i] != 0.1 || g[i] != 1 {
					t.Fatalf("step %d: s %v, gate %v of %s[%d]", r.Step, s[i], g[i], l.w.Name, i)
				}
			}
			seen = len(s)
		}
		return nil
	}
	grownThenThinned(t, &j)
	j.run(t)
	if seen != 16*12 {
		t.Errorf("the last layer had %d gates, want %d", seen, 16*12)
	}
}

// covers stands for a method that replaces weights.
type covers struct{ probe }

func (covers) Name() string { return "covers" }
func (covers) Weight(_ *graph.Graph, _ *graph.Param, v *graph.Value) *graph.Value {
	return v.Act(kernels.Tanh)
}

func TestRunsThatDoNotFit(t *testing.T) {
	for _, c := range []struct {
		name string
		edit func(*trainer.Config)
		want string
	}{
		{"other length", func(c *trainer.Config) { c.Timeline[0].Steps++ }, "the plan of sparsification 36"},
		{"no restarts", func(c *trainer.Config) { c.Restarts = nil }, "must have Plan.Restarts"},
		{"covered weights", func(c *trainer.Config) {
			c.Methods = append([]trainer.Method{covers{func(trainer.Event, *trainer.Run) error { return nil }}}, c.Methods...)
		}, "sparsify must come first"},
		{"nothing to thin", func(c *trainer.Config) { c.Methods[0].(*Method).plan.Config.Skip = []string{"*"} }, "no weight of the network gets gates"},
		{"twice", func(c *trainer.Config) { c.Methods = append(c.Methods, c.Methods[0]) }, "declared twice"},
	} {
		cfg, _ := digits(smallMLP).config(t, solo.New(collective.Gen{}))
		c.edit(&cfg)
		if _, err := trainer.Train(context.Background(), cfg, nil); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want mention of %q", c.name, err, c.want)
		}
	}
}

func TestLoadRefusesOtherPlans(t *testing.T) {
	_, m := digits(smallMLP).config(t, solo.New(collective.Gen{}))
	raw, err := m.Save()
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Load(raw); err != nil {
		t.Errorf("its own plan: %v", err)
	}
	other := digits(smallMLP)
	other.sparsify.S0 = 0.1
	_, o := other.config(t, solo.New(collective.Gen{}))
	for _, c := range []struct{ name, raw, want string }{
		{"other s0", string(raw), `"s0":0`}, {"none", "", "without sparsification"}, {"broken", "{", "state of sparsification"},
	} {
		if err := o.Load([]byte(c.raw)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want mention of %q", c.name, err, c.want)
		}
	}
	for _, kept := range [][]trainer.Kept{nil, {{Name: "fc1.weight", Shape: []int{2}, Values: []float32{1, 2}}}} {
		if err := m.Restore(kept); err != nil {
			t.Fatal(err)
		}
		g := traced(t, smallMLP)
		if _, err := m.rewound.filler(g, nil); err == nil {
			t.Errorf("rewinding to %d values of a network of another shape was accepted", len(kept))
		}
	}
}

func traced(t *testing.T, s models.Spec) *graph.Graph {
	t.Helper()
	s.Height, s.Width, s.Channels, s.Classes = 8, 8, 1, 10
	g, err := models.Trace(s, graph.Config{Train: true}, 4)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// Which weights get gates: for the published network all 3×3 convolutions.
func TestGatedLayers(t *testing.T) {
	for _, c := range []struct {
		model models.Spec
		edit  func(*Config)
		want  string
	}{
		{models.Spec{Name: "resnet-8", Base: 4}, func(*Config) {}, "conv1 layer1.0.conv1 layer1.0.conv2 layer2.0.conv1 layer2.0.conv2 layer3.0.conv1 layer3.0.conv2"},
		{models.Spec{Name: "resnet-8", Base: 4}, func(c *Config) { c.Layers, c.Skip = []string{"layer*", "fc*"}, []string{"*conv1*"} }, "layer1.0.conv2 layer2.0.conv2 layer3.0.conv2 fc"},
		{smallMLP, func(*Config) {}, "fc1 fc2"},
	} {
		cfg := Defaults()
		c.edit(&cfg)
		var got []string
		for _, p := range traced(t, c.model).Params() {
			if cfg.Gates(p) {
				got = append(got, strings.TrimSuffix(p.Name, ".weight"))
			}
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("%s: %s, want %s", c.model.Name, s, c.want)
		}
	}
	// The published network has 267,696 maskable weights of 270 thousand;
	// here shortcuts have no parameters.
	n := 0
	cfg := Defaults()
	for _, p := range traced(t, models.Spec{Name: "resnet-20"}).Params() {
		if cfg.Gates(p) {
			n += p.W.Len()
		}
	}
	if want := 267696 - 2*9*16; n != want { // one input channel instead of three
		t.Errorf("resnet-20 has %d gates, want %d", n, want)
	}
}

// Thinning learns: a tenth of the weights, and hardly a loss.
func TestThinnedNetworkLearns(t *testing.T) {
	if testing.Short() {
		t.Skip("a longer run")
	}
	j := job{model: models.Spec{Name: "mlp", Hidden: []int{64, 64}, Norm: true}, sparsify: Defaults(), steps: 900, batch: 64, optim: digits(smallMLP).optim}
	j.optim.LR = 0.1
	j.sparsify.Goal, j.sparsify.Rounds, j.sparsify.Epochs, j.sparsify.Rise = GoalPrune, 1, 10, RiseStep
	j.sparsify.S0, j.sparsify.Penalty = -0.05, 1e-5
	var last *Ticket
	j.onTicket = func(x *Ticket) error { last = x; return nil }
	res := j.run(t)
	if a := float64(*res.Eval.Accuracy); a < 0.93 || last.Density() > 0.1 {
		t.Errorf("accuracy %.3f with %.1f %% of the weights, want 0.93 with 10", a, 100*last.Density())
	} else {
		t.Logf("accuracy %.3f with %.1f %% of the weights", a, 100*last.Density())
	}
}

// Under the hard mask ranks send what is kept and nothing else, and the run
// is the same as when they send all.
func TestPackedSums(t *testing.T) {
	for _, goal := range []Goal{GoalTicket, GoalPrune} {
		j := digits(smallMLP)
		j.sparsify.Goal = goal
		var last *Ticket
		j.onTicket = func(x *Ticket) error { last = x; return nil }
		var packed, dense map[string][]float32
		look := func(to *map[string][]float32) probe {
			return func(e trainer.Event, r *trainer.Run) error {
				if e == trainer.Finished {
					*to = params(t, r)
				}
				if e != trainer.Reduced || r.Step < r.Steps()-1 || !r.Packed() {
					return nil
				}
				sent, all := r.GradientBytes()
				if want := all - 4*int64(last.Total()-last.Kept()); sent != want || sent >= all {
					t.Errorf("%s: %d of %d bytes are sent, want %d", goal, sent, all, want)
				}
				return nil
			}
		}
		j.probe = look(&packed)
		j.run(t)
		j.probe = look(&dense)
		j.edit = func(c *trainer.Config) { c.Methods[0].(*Method).sendAll = true }
		j.run(t)
		for name, v := range dense {
			if !slices.Equal(v, packed[name]) { // equal as numbers: a zero may have lost its sign
				t.Errorf("%s: %s differs where all is sent", goal, name)
			}
		}
	}
}
