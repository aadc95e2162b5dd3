package joint

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/espalier-ml/espalier/methods/quantize"
	"github.com/espalier-ml/espalier/trainer"
)

type variant struct {
	name string
	slow bool
	job  job
	edit func(*job)
}

var variants = []variant{
	{"bytes", false, digits(smallMLP), func(*job) {}},
	{"arithmetic, 4-bit activations", true, digits(smallResNet), func(j *job) {
		j.config.Cost, j.config.Activations = CostFlops, quantize.Act4
	}},
	{"grown before", false, digits(smallMLP), func(j *job) {
		j.growth, j.steps, j.config.Start = true, 28, 2
	}},
	{"templates", true, digits(smallBank), func(j *job) {
		j.steps, j.config.Start, j.config.Epochs, j.config.Activations = 9, 0.5, 1, quantize.ActNone
	}},
}

// quick leaves the variants out whose convolutions are slow under the race
// detector, in short runs.
func quick() []variant {
	if testing.Short() {
		return slices.DeleteFunc(slices.Clone(variants), func(v variant) bool { return v.slow })
	}
	return variants
}

func TestSameBitsForAnyWorld(t *testing.T) {
	for _, v := range quick() {
		j := v.job
		v.edit(&j)
		want := j.run(t, 1)
		for _, world := range []int{2, 4} {
			if got := j.run(t, world); got.Digest != want.Digest || got.Eval.Loss != want.Eval.Loss {
				t.Errorf("%s: %d ranks end with %v and loss %v, one with %v and %v", v.name, world, got.Digest, got.Eval.Loss, want.Digest, want.Eval.Loss)
			}
		}
	}
}

// A run that is stopped in any phase and goes on with two ranks ends with the
// bits of one that is not stopped.
func TestResumeIsExact(t *testing.T) {
	for _, v := range quick() {
		j := v.job
		v.edit(&j)
		want := j.run(t, 1)
		stops := []uint64{2, 4, 5, 10, 15, 16, 17, 20, j.steps - 1}
		if j.steps < 16 {
			stops = []uint64{1, 2, 4, 6, 8}
		}
		for _, stop := range stops {
			k := j
			k.dir = t.TempDir()
			k.probe = func(e trainer.Event, r *trainer.Run) error {
				if e == trainer.Boundary && r.Step+1 == stop {
					r.RequestStop()
				}
				return nil
			}
			if got := k.run(t, 1); got.Step != stop {
				t.Fatalf("%s: stopped at step %d, want %d", v.name, got.Step, stop)
			}
			k.probe = nil
			if got := k.run(t, 2); got.Digest != want.Digest || got.Eval.Loss != want.Eval.Loss {
				t.Errorf("%s stopped at step %d: digest %v, uninterrupted %v", v.name, stop, got.Digest, want.Digest)
			}
		}
	}
}

// What the network computes with is what the phase says: its own weights, then
// those under soft gates with noise, then rounded ones, with zeros where a
// channel is gone; at the end they are its own.
func TestPhases(t *testing.T) {
	for _, v := range quick() {
		j := v.job
		v.edit(&j)
		seen, gone := map[Phase]int{}, 0
		j.config.Price, j.config.GateRate = 3, 0.3
		p := j.plan(t)
		j.probe = func(e trainer.Event, r *trainer.Run) error {
			if e != trainer.Boundary && e != trainer.Finished {
				return nil
			}
			for _, l := range layers(r.Graph()) {
				w, used, bits, m := values(t, r, l.w.W), values(t, r, l.used.W), values(t, r, l.bits.W), values(t, r, l.scale.W)
				v, err := l.variables(r.Device())
				if err != nil {
					return err
				}
				switch phase := p.At(r.Step); {
				case e == trainer.Finished:
					if !slices.Equal(w, used) {
						t.Errorf("%s: the finished network has other weights than those it computes with", l.w.Name)
					}
				case phase == PhaseFull:
					seen[phase]++
					if !slices.Equal(w, used) {
						t.Errorf("step %d: %s computes with other weights than its own", r.Step, l.w.Name)
					}
				case phase == PhaseSearch:
					seen[phase]++
					wantBlurred(t, p, l, r.Step, v, w, used)
				default:
					seen[phase]++
					gone += wantRounded(t, p, l, w, used, m, bits)
				}
			}
			return nil
		}
		j.run(t, 1)
		if len(seen) != 3 || gone == 0 {
			t.Errorf("%s: phases seen: %v, %d weights gone", v.name, seen, gone)
		}
	}
}

func wantBlurred(t *testing.T, p *Plan, l *layer, step uint64, v []Variable, w, used []float32) {
	t.Helper()
	beta, open := p.Beta(step), p.Config.factor()
	most := make([]float64, l.parts*l.outs)
	gated := make([]float64, len(w))
	moved := false
	l.each(func(part, at, channel int) {
		for i := range l.outs {
			gated[at+i] = v[channel].Present(beta) * open * float64(w[at+i])
			most[part*l.outs+i] = max(most[part*l.outs+i], math.Abs(gated[at+i]))
		}
	})
	l.each(func(part, at, channel int) {
		for i := range l.outs {
			amp := v[channel].Present(beta) * quantize.NoiseCalibrated.Amplitude(v[channel].Precision, most[part*l.outs+i])
			d := math.Abs(float64(used[at+i]) - gated[at+i])
			if moved = moved || d > 0; d > amp*1.0001+1e-6 {
				t.Errorf("%s: noise %v, want at most %v", l.w.Name, d, amp)
			}
		}
	})
	if !moved {
		t.Errorf("%s: no noise", l.w.Name)
	}
}

func wantRounded(t *testing.T, p *Plan, l *layer, w, used, m, bits []float32) (gone int) {
	t.Helper()
	l.each(func(part, at, channel int) {
		for i := range l.outs {
			want := 0.0
			if b := int(bits[channel]); b > 0 {
				want = quantize.Round(p.Config.factor()*float64(w[at+i]), float64(m[part*l.outs+i]), b)
			} else {
				gone++
			}
			if d := math.Abs(float64(used[at+i]) - want); d > 1e-6 {
				t.Fatalf("%s: weight %v of %v bits becomes %v, want %v", l.w.Name, w[at+i], bits[channel], used[at+i], want)
			}
		}
	})
	return gone
}

// A higher price leaves a smaller network, and what is reported is counted.
func TestPriceBuysBytes(t *testing.T) {
	finish := func(price float64, cost Cost) (s Size) {
		j := digits(smallMLP)
		j.steps, j.config.Epochs, j.config.Price, j.config.Cost = 48, 6, price, cost
		plan := j.plan(t)
		j.probe = func(e trainer.Event, r *trainer.Run) error {
			if e != trainer.Finished {
				return nil
			}
			var err error
			s, err = newEngine(plan, r.Graph(), r.Device(), 1).size(true)
			zeros, total := 0, 0
			for _, l := range layers(r.Graph()) {
				for _, x := range values(t, r, l.w.W) {
					if total++; x == 0 {
						zeros++
					}
				}
			}
			if share := 1 - float64(zeros)/float64(total); share > s.Kept+1e-9 {
				t.Errorf("%v of the weights are not 0, %v are said to be kept", share, s.Kept)
			}
			return err
		}
		j.run(t, 1)
		return s
	}
	for _, cost := range []Cost{CostBytes, CostFlops} {
		low, high := finish(0.001, cost), finish(3, cost)
		if !(high.Bytes < low.Bytes && high.Bits < low.Bits && high.Kept < low.Kept && high.Flops < low.Flops) {
			t.Errorf("%s: %v at a low price, %v at a high one", cost, low, high)
		}
	}
}

// Layers that share templates pay for them once, and work adds up.
func TestTemplatesPayOnce(t *testing.T) {
	plan := digits(smallBank).plan(t)
	banks := 0
	for name, u := range plan.Uses {
		if strings.HasSuffix(name, templates) {
			banks++
			if u < 1 {
				t.Errorf("%s: %v multiply-adds a number", name, u)
			}
		}
	}
	if banks == 0 {
		t.Errorf("no bank is priced: %v", plan.Uses)
	}
}

func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		name string
		edit func(*job)
		want string
	}{
		{"growth in the search", func(j *job) { j.growth, j.steps, j.config.Start = true, 28, 1 }, "let growth end before start"},
		{"nothing priced", func(j *job) { j.config.Layers = []string{"nosuch"} }, "no weight of the network is priced"},
	} {
		j := digits(smallMLP)
		c.edit(&j)
		if _, err := j.try(t, 1); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	bad := Config{Price: -1, Cost: "time", Temperature: 0.5, Layers: []string{"["}}
	err := bad.Validate()
	for _, want := range []string{"price -1", `cost "time"`, "temperature 0.5", "gate 0", "group 0", `layers "["`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("complaints lack %s: %v", want, err)
		}
	}
	m := digits(smallMLP).open(t, nil).Methods[0]
	if err := m.Load([]byte(`{"hash": "x", "plan": {}}`)); err == nil || !strings.Contains(err.Error(), "another plan") {
		t.Errorf("a state of another plan: %v", err)
	}
}
