package structured

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/espalier-ml/espalier/collective"
	"github.com/espalier-ml/espalier/collective/solo"
	"github.com/espalier-ml/espalier/methods/grow"
	"github.com/espalier-ml/espalier/trainer"
	"github.com/espalier-ml/espalier/trainer/graph"
	"github.com/espalier-ml/espalier/trainer/metrics"
	"github.com/espalier-ml/espalier/trainer/models"
	"github.com/espalier-ml/espalier/trainer/optim"
)

// networks are those that runs are made of: every kind of mask.
func networks() map[string]models.Spec {
	text := func(name string) models.Spec {
		s := spec(name)
		s.Vocab, s.Context = 0, 8
		return s
	}
	m := map[string]models.Spec{"mlp": {Name: "mlp", Hidden: []int{16, 12}}, "mlp with norm": {Name: "mlp", Hidden: []int{16, 12}, Norm: true},
		"resnet-14": {Name: "resnet-14", Base: 4}, "resnet-18": {Name: "resnet-18", Base: 4}, "lstm": text("lstm"), "transformer": text("transformer")}
	return m
}

// Invariant 7 and 4, without rounding: one, two and four ranks end with the
// same bits, under every kind of mask and of optimizer.
func TestSameBitsForAnyWorld(t *testing.T) {
	for name, spec := range networks() {
		for _, kind := range []optim.Kind{optim.SGD, optim.Adam} {
			t.Run(name+" "+string(kind), func(t *testing.T) {
				j := digits(spec)
				if kind == optim.Adam {
					j.optim = optim.Defaults(kind)
				}
				j.c.Streams = name == "resnet-18"
				want := j.run(t)
				for _, world := range []int{2, 4} {
					if got := j.run(t, group(t, world)...); got.Digest != want.Digest || got.Eval.Loss != want.Eval.Loss {
						t.Errorf("%d ranks end with %v and loss %v, one with %v and %v", world, got.Digest, got.Eval.Loss, want.Digest, want.Eval.Loss)
					}
				}
				if !(want.Flops < 0.9*want.FixedFlops) {
					t.Errorf("%v FLOPs, the full network has %v", want.Flops, want.FixedFlops)
				}
			})
		}
	}
}

// A run that is stopped after any step, and goes on with two ranks, ends with
// the bits of one that is not stopped: before, at and behind every query, in
// hardening, at the decision and behind it.
func TestResumeIsExact(t *testing.T) {
	for name, edit := range map[string]func(*job){
		"resnet-14":            func(j *job) { j.model = models.Spec{Name: "resnet-14", Base: 4} },
		"resnet-14 under adam": func(j *job) { j.model, j.optim = models.Spec{Name: "resnet-14", Base: 4}, optim.Defaults(optim.Adam) },
		"mlp, published rule":  func(j *job) { j.c.Controller, j.c.Global, j.c.Draws = ControllerPaper, true, DrawsKept },
		"mlp, pruned late":     func(j *job) { j.c.Seed, j.c.Start = 0, 10*32/3823.0 },
		"lstm":                 func(j *job) { j.model = networks()["lstm"] },
	} {
		t.Run(name, func(t *testing.T) {
			j := digits(models.Spec{Name: "mlp", Hidden: []int{16, 12}, Norm: true})
			edit(&j)
			want := j.run(t)
			_, m := j.config(t, solo.New(collective.Gen{}))
			p := m.plan
			at := []uint64{1, p.Queries[0], p.Queries[0] + 1, p.Queries[2] - 1, p.Queries[len(p.Queries)-1] + 1, p.Final, p.Final + 1, p.Steps - 1}
			if p.First > 0 {
				at = append(at, p.First, p.First+1)
			}
			if testing.Short() {
				at = at[1:3]
			}
			for _, stop := range at {
				k := j
				k.dir, k.probe = t.TempDir(), stopAt(stop)
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

// Invariant 11: the finished network is an ordinary one at the budget: without
// the method its parameters compute the same, to the bit.
func TestFinishedNetworkIsOrdinary(t *testing.T) {
	for name, spec := range networks() {
		t.Run(name, func(t *testing.T) {
			j := digits(spec)
			end := map[string][]float32{}
			var sizes graph.Sizes
			var masks []float32
			j.probe = func(e trainer.Event, r *trainer.Run) error {
				if e != trainer.Finished {
					return nil
				}
				sizes = r.Sizes()
				for _, p := range all(r.Graph()) {
					end[p.Name] = read(t, r.Device(), p.W)
					if isMask(p) {
						masks = append(masks, end[p.Name]...)
					}
				}
				return nil
			}
			cfg, m := j.config(t, solo.New(collective.Gen{}))
			var measures map[string]metrics.Number
			cfg.Report = func(r metrics.Record) {
				if e, ok := r.(*metrics.End); ok {
					measures = e.Measures
				}
			}
			res, err := trainer.Train(context.Background(), cfg, nil)
			if err != nil {
				t.Fatal(err)
			}
			if kept := m.plan.Space.Cost(m.plan.Space.Counts(m.active)) / m.plan.Space.FullCost(); float64(measures["cost kept"]) != kept {
				t.Errorf("the record says that %v of the cost is kept, want %v", measures["cost kept"], kept)
			}
			for _, v := range masks {
				if v != 1 {
					t.Fatalf("a mask of %v is left", v)
				}
			}
			if loss := ordinaryLoss(t, cfg, sizes, end); loss != float64(res.Eval.Loss) {
				t.Errorf("loss %v, with the method %v", loss, res.Eval.Loss)
			}
			s := m.plan.Space
			unit := 0.0 // what the most expensive unit costs
			for i := range s.Groups {
				n := s.Counts(m.active)
				n[i]++
				unit = max(unit, s.Cost(n)-s.Cost(s.Counts(m.active)))
			}
			if got := s.Cost(s.Counts(m.active)); got > 1.01*j.c.Budget*s.FullCost() || got < 0.99*j.c.Budget*s.FullCost()-unit {
				t.Errorf("cost %v of %v, want %v", got/s.FullCost(), s.FullCost(), j.c.Budget)
			}
		})
	}
}

func all(g *graph.Graph) []*graph.Param {
	return append(slices.Clone(g.Params()), g.States()...)
}

// ordinaryLoss evaluates the model of a run, traced without methods, with the
// given values.
func ordinaryLoss(t *testing.T, cfg trainer.Config, sizes graph.Sizes, values map[string][]float32) float64 {
	t.Helper()
	g, err := models.Trace(cfg.Model, graph.Config{Sizes: sizes}, 128)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range all(g) {
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

// Invariants 5, 6 and 13 in a run: what leaves and comes back does so
// unchanged, temperatures belong to what was sampled, and the network and the
// archive hold no more than was present once.
func TestWhatLeavesComesBackUnchanged(t *testing.T) {
	j := digits(models.Spec{Name: "mlp", Hidden: []int{16, 12}})
	j.c.Rate = 0 // masks stay, so that units come and go by chance
	j.c.On, j.c.Off = 0.3, 0
	type row struct{ incoming, momentum float32 }
	left := map[int]row{} // by unit of fc1: the weight of input 20 when it left
	returned := 0
	cfg, m := j.config(t, solo.New(collective.Gen{}))
	was := map[int]row{}
	cfg.Methods = append(cfg.Methods, probe(func(e trainer.Event, r *trainer.Run) error {
		if e != trainer.Reduced && e != trainer.Stepped || r.Step >= m.plan.Final {
			return nil
		}
		var entry *optim.Entry
		for _, x := range r.Optim().Entries {
			if x.Param.Name == "fc1.weight" {
				entry = x
			}
		}
		w, mom := read(t, r.Device(), entry.Param.W), read(t, r.Device(), entry.Slots[0])
		now := map[int]row{}
		for i, u := range m.units["fc1"] {
			at := 20*len(m.units["fc1"]) + i
			now[u] = row{w[at], mom[at]}
		}
		if e == trainer.Reduced { // before the update, behind a query
			for u, v := range was {
				if _, stays := now[u]; !stays {
					left[u] = v
				} else if now[u] != v {
					t.Errorf("step %d: unit %d changed from %v to %v at the query", r.Step, u, v, now[u])
				}
			}
			for u, v := range now {
				if _, stayed := was[u]; !stayed && len(was) > 0 {
					if old, ok := left[u]; ok {
						returned++
						if v != old {
							t.Errorf("step %d: unit %d left as %v and came back as %v", r.Step, u, old, v)
						}
					}
				}
			}
			seen := 0
			for i, s := range m.archive.seen[:16] {
				seen += b2i(s)
				if s != m.archive.seen[i] || m.counts[i] > float32(len(m.plan.Queries)) {
					t.Errorf("unit %d was sampled %v times", i, m.counts[i])
				}
			}
			if n := len(m.archive.kept["fc1.weight"]); n > 64*seen {
				t.Errorf("archive of %d entries, %d units were present", n, seen)
			}
		}
		was = now
		return nil
	}))
	if _, err := trainer.Train(context.Background(), cfg, nil); err != nil {
		t.Fatal(err)
	}
	if returned < 3 {
		t.Errorf("%d units came back: the test saw too little", returned)
	}
	for i := range m.counts {
		if !m.archive.seen[min(i, len(m.archive.seen)-1)] && m.beta(i, 0) != 1 {
			t.Errorf("component %d was never there and has temperature %v", i, m.beta(i, 0))
		}
	}
}

// A run that another method changes under the search is refused by name.
func TestRefusals(t *testing.T) {
	j := digits(models.Spec{Name: "mlp", Hidden: []int{16, 12}})
	j.edit = func(c *trainer.Config) { c.Sizes = nil }
	if _, err := j.try(t); err == nil || !strings.Contains(err.Error(), "dim fc1 has 16 units at step 0, want 1: the run must start with Plan.Initial") {
		t.Errorf("full-size start: %v", err)
	}
	j.edit = nil
	j.dir = t.TempDir()
	k := j
	k.probe = stopAt(10)
	k.run(t)
	k = j
	k.c.Gain = 0.7
	if _, err := k.try(t); err == nil || !strings.Contains(err.Error(), "follows another plan of the structure") {
		t.Errorf("another plan: %v", err)
	}
}

// A run that grows first is pruned behind it: same bits at four ranks, and
// resumed inside either part.
func TestGrowThenPrune(t *testing.T) {
	j := digits(models.Spec{Name: "mlp", Hidden: []int{16, 12}, Norm: true})
	j.c.Seed, j.c.Start, j.c.Budget = 0, 16*32/3823.0, 0.5
	j.edit = func(c *trainer.Config) {
		full, err := models.Trace(c.Model, graph.Config{}, 1)
		if err != nil {
			t.Fatal(err)
		}
		gc := grow.Defaults()
		gc.Multipliers, gc.Epochs = []float64{0.5, 1}, []float64{1, 5}
		p, err := grow.NewPlan(gc, full.Dims(), 8*32, 6, 32, 4)
		if err != nil {
			t.Fatal(err)
		}
		c.Sizes, c.Timeline = p.Initial(), p.Timeline()
		c.Methods = append([]trainer.Method{grow.New(p)}, c.Methods...)
	}
	want := j.run(t)
	if got := j.run(t, group(t, 4)...); got.Digest != want.Digest {
		t.Errorf("four ranks end with %v, one with %v", got.Digest, want.Digest)
	}
	for _, stop := range []uint64{4, 12, 16, 17, 30, 46} {
		k := j
		k.dir, k.probe = t.TempDir(), stopAt(stop)
		edit := j.edit
		k.edit = func(c *trainer.Config) { edit(c) }
		k.run(t)
		k.probe = nil
		if got := k.run(t, group(t, 2)...); got.Digest != want.Digest {
			t.Errorf("stopped at step %d: digest %v, uninterrupted %v", stop, got.Digest, want.Digest)
		}
	}
}
