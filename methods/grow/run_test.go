package grow

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/espalier-ml/espalier/collective"
	"github.com/espalier-ml/espalier/collective/solo"
	"github.com/espalier-ml/espalier/kernels"
	"github.com/espalier-ml/espalier/trainer"
	"github.com/espalier-ml/espalier/trainer/metrics"
	"github.com/espalier-ml/espalier/trainer/optim"
)

// listening counts what a rank says to the others besides its sums.
type listening struct {
	collective.Comm
	other *atomic.Int64
}

func (c listening) Broadcast(b collective.Buf, root collective.Rank, m collective.OpMeta) collective.Work {
	c.other.Add(1)
	return c.Comm.Broadcast(b, root, m)
}

func (c listening) AllGather(in, out collective.Buf, m collective.OpMeta) collective.Work {
	c.other.Add(1)
	return c.Comm.AllGather(in, out, m)
}

func (c listening) SendRecv(send collective.Buf, to collective.Rank, recv collective.Buf, from collective.Rank, m collective.OpMeta) collective.Work {
	c.other.Add(1)
	return c.Comm.SendRecv(send, to, recv, from, m)
}

// record is what a run shows of itself: a hash of all values after each
// event, and the losses.
type record struct {
	mu     sync.Mutex
	hashes map[string]bool
	losses []float64
}

func (rec *record) watch(t testing.TB) probe {
	return func(e trainer.Event, r *trainer.Run) error {
		if e != trainer.Boundary || r.Births[len(r.Births)-1] != r.Step {
			return nil
		}
		h := sha256.New()
		for _, x := range snap(t, r) {
			binary.Write(h, binary.LittleEndian, x.w)
		}
		rec.mu.Lock()
		defer rec.mu.Unlock()
		rec.hashes[fmt.Sprintf("stage %d %x", len(r.Births), h.Sum(nil))] = true
		return nil
	}
}

// Invariant 12: one, two and four ranks grow the same network bit for bit,
// see the same losses, and say nothing to each other for it: besides sums there
// is what each says when their group forms, where it stands.
func TestSameBitsForAnyWorld(t *testing.T) {
	if testing.Short() {
		t.Skip("several runs")
	}
	var want trainer.Result
	var first *record
	for _, world := range []int{1, 2, 4} {
		j := digits(smallResNet)
		j.grow.BatchGrowth, j.grow.Rewarm = 0.2, 1.3
		rec := &record{hashes: map[string]bool{}}
		j.probes = behind(rec.watch(t))
		j.edit = func(c *trainer.Config) {
			c.LogEvery = 1
			c.Report = func(r metrics.Record) {
				if x, ok := r.(*metrics.Train); ok {
					rec.losses = append(rec.losses, float64(x.Loss))
				}
			}
		}
		var other atomic.Int64
		comms := group(t, world)
		for i := range comms {
			comms[i] = listening{comms[i], &other}
		}
		got := j.run(t, comms...)
		forming := int64(world)
		if world == 1 {
			forming = 0
		}
		if n := other.Load(); n != forming {
			t.Errorf("world %d: %d operations besides sums, want %d", world, n, forming)
		}
		if len(rec.hashes) != 4 {
			t.Errorf("world %d: %d different networks after 3 events and the start, want 4", world, len(rec.hashes))
		}
		if first == nil {
			want, first = got, rec
			continue
		}
		if got.Digest != want.Digest {
			t.Errorf("world %d: digest %v, one rank has %v", world, got.Digest, want.Digest)
		}
		if !maps.Equal(rec.hashes, first.hashes) {
			t.Errorf("world %d: grown networks differ from one rank's", world)
		}
		if !slices.Equal(rec.losses, first.losses) || len(rec.losses) == 0 {
			t.Errorf("world %d: losses differ from one rank's", world)
		}
	}
}

// Invariant 13: a run that is stopped before, at and after an event, and
// inside a ramp, and goes on, ends with the bits of one that is not.
func TestResumeIsExact(t *testing.T) {
	for _, c := range []struct {
		name string
		edit func(*Config)
		at   []int // steps after the event
	}{
		{"as published", func(*Config) {}, []int{-1, 0, 1}},
		{"batches that shrink", func(c *Config) { c.BatchGrowth = 0.3 }, []int{0}},
		{"ramp", func(c *Config) { c.VT, c.RampSteps = VTRamp, 9 }, []int{0, 4}},
		{"gradient norms, re-warm-up", func(c *Config) { c.LRA, c.Rewarm = LRALARS, 1.3 }, []int{2}},
		{"copies", func(c *Config) { c.Init, c.VT = InitNet2Net, VTNone }, []int{0}},
	} {
		t.Run(c.name, func(t *testing.T) {
			j := digits(smallMLP)
			j.model.Norm = c.name != "ramp"
			c.edit(&j.grow)
			_, p := j.config(t, solo.New(collective.Gen{}))
			want := j.run(t)
			event := p.Stages[2].First
			for _, after := range c.at {
				at := event + uint64(after)
				dir := t.TempDir()
				j.edit = func(c *trainer.Config) { c.Dir = dir }
				stopped := j
				stopped.probes = behind(func(e trainer.Event, r *trainer.Run) error {
					if e == trainer.Boundary && r.Step+1 == at {
						r.RequestStop()
					}
					return nil
				})
				if half := stopped.run(t); half.Done || half.Step != at {
					t.Fatalf("stopped at step %d, want %d", half.Step, at)
				}
				if got := j.run(t); !got.Done || got.Digest != want.Digest {
					t.Errorf("resumed at step %d (event at %d): digest %v, want %v", at, event, got.Digest, want.Digest)
				}
			}
		})
	}
}

// counting counts the bytes that a run takes from its device.
type counting struct {
	kernels.Device
	bytes *int
}

func (d counting) Alloc(n int) (kernels.Buffer, error) {
	*d.bytes += n
	return d.Device.Alloc(n)
}

// Invariant 14: the trainer's count of operations equals the plan's formula,
// and no stage takes the memory of the next.
func TestCostAndMemoryFollowThePlan(t *testing.T) {
	j := digits(smallResNet)
	j.model.Base = 16
	var bytes int
	var taken []int // before each event
	var plan *Plan
	j.probes = func() (before, after trainer.Method) {
		return probe(func(e trainer.Event, r *trainer.Run) error {
			if e == trainer.Boundary && r.Step > 0 && len(taken) < 3 && r.Step == plan.Stages[len(taken)+1].First {
				taken = append(taken, bytes)
			}
			return nil
		}), nil
	}
	j.edit = func(c *trainer.Config) {
		c.Device = counting{c.Device, &bytes}
		plan = c.Methods[1].(*Method).plan
	}
	res := j.run(t)
	set, _ := j.config(t, solo.New(collective.Gen{}))
	grown, fixed, err := plan.Cost(Flops(set.Model))
	if err != nil {
		t.Fatal(err)
	}
	if res.Flops != grown || res.FixedFlops != fixed {
		t.Errorf("the trainer counted %.0f of %.0f operations, the plan says %.0f of %.0f", res.Flops, res.FixedFlops, grown, fixed)
	}
	if len(taken) != 3 {
		t.Fatalf("saw %d events", len(taken))
	}
	last := bytes - taken[2]
	for i, stage := range []int{taken[0], taken[1] - taken[0], taken[2] - taken[1]} {
		share := plan.Stages[i].Multiplier
		if float64(stage) > (share+0.15)*float64(last) {
			t.Errorf("stage %d takes %d bytes, the last %d: more than its share %v of the width", i+1, stage, last, share)
		}
	}
}

// A run with all defaults learns.
func TestGrownNetworkLearns(t *testing.T) {
	j := digits(smallMLP)
	j.model.Hidden = []int{64, 64}
	j.grow, j.epochs, j.batch = Defaults(), 6, 32
	res := j.run(t)
	if res.Eval.Accuracy == nil || float64(*res.Eval.Accuracy) < 0.95 {
		t.Errorf("accuracy %v after 6 epochs, want 0.95", res.Eval.Accuracy)
	}
	if res.Flops > 0.62*res.FixedFlops {
		t.Errorf("cost %.0f %% of the fixed network's", 100*res.Flops/res.FixedFlops)
	}
}

func TestRunsThatDoNotFitThePlan(t *testing.T) {
	for _, c := range []struct {
		name string
		edit func(*trainer.Config)
		want string
	}{
		{"full size at the start", func(c *trainer.Config) { c.Sizes = nil }, "the growth plan wants [4]"},
		{"another time line", func(c *trainer.Config) { c.Timeline = c.Timeline[:2] }, "must follow Plan.Timeline"},
		{"another start", func(c *trainer.Config) { c.Sizes["fc1"] = []int{6} }, "dim fc1 has sizes [6]"},
	} {
		cfg, _ := digits(smallMLP).config(t, solo.New(collective.Gen{}))
		c.edit(&cfg)
		if _, err := trainer.Train(context.Background(), cfg, nil); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want mention of %q", c.name, err, c.want)
		}
	}
}

func TestLoadRefusesOtherPlans(t *testing.T) {
	plan := func(edit func(*Config)) *Plan {
		c := fourStages()
		edit(&c)
		p, err := NewPlan(c, dims(16, 32), 1000, 8, 20, 4)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	raw, err := (&Method{plan: plan(func(*Config) {}), stage: 2}).Save()
	if err != nil {
		t.Fatal(err)
	}
	m := New(plan(func(*Config) {}))
	if err := m.Load(raw); err != nil || m.Stage() != 2 {
		t.Errorf("its own plan: stage %d, error %v", m.Stage(), err)
	}
	for _, c := range []struct {
		name string
		edit func(*Config)
		raw  string
		want string
	}{
		{"another mode", func(c *Config) { c.VT = VTExact }, string(raw), `config.vt was "paper", is "exact"`},
		{"other widths", func(c *Config) { c.Multipliers[1] = 0.625 }, string(raw), "config.multipliers[1] was 0.5, is 0.625"},
		{"none", func(*Config) {}, "", "without growing"},
		{"broken", func(*Config) {}, "{", "growth state"},
		{"a stage that is not there", func(*Config) {}, strings.Replace(string(raw), `"stage":2`, `"stage":9`, 1), "stage 9 of 4"},
	} {
		if err := New(plan(c.edit)).Load([]byte(c.raw)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want mention of %q", c.name, err, c.want)
		}
	}
}

// Every parameter of every kind of job grows with finite values under every
// mode and initialisation.
func TestAblationsTrain(t *testing.T) {
	for _, vt := range []VT{VTNone, VTPaper, VTExact, VTRamp, VTConstraint} {
		for _, init := range []Init{InitPairs, InitRandom, InitNet2Net} {
			if init == InitNet2Net && vt != VTNone {
				continue
			}
			j := digits(smallMLP)
			j.grow.VT, j.grow.Init, j.grow.RampSteps = vt, init, 5
			j.optim = optim.Defaults(optim.AdamW)
			res := j.run(t)
			if !res.Done || math.IsNaN(float64(res.Eval.Loss)) || res.Params == 0 {
				t.Errorf("%s, %s: ended at step %d with loss %v", vt, init, res.Step, res.Eval.Loss)
			}
		}
	}
}
