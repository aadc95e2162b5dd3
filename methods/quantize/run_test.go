package quantize

import (
	"errors"
	"slices"
	"testing"

	"github.com/espalier-ml/espalier/trainer"
)

var variants = []struct {
	name string
	edit func(*Config)
}{
	{"two levels", func(*Config) {}},
	{"smol, one scale a tensor, 4-bit activations", func(c *Config) {
		c.Noise, c.Scale, c.Rule, c.Activations = NoiseSMOL, ScaleTensor, RuleSySMOL, Act4
	}},
	{"uniform", func(c *Config) { c.Rule, c.Bits, c.Activations = RuleUniform, 2, ActNone }},
}

func TestSameBitsForAnyWorld(t *testing.T) {
	for _, v := range variants {
		j := digits(smallResNet)
		v.edit(&j.config)
		want := j.run(t)
		for _, world := range []int{2, 4} {
			if got := j.run(t, group(t, world)...); got.Digest != want.Digest || got.Eval.Loss != want.Eval.Loss {
				t.Errorf("%s: %d ranks end with %v and loss %v, one with %v and %v", v.name, world, got.Digest, got.Eval.Loss, want.Digest, want.Eval.Loss)
			}
		}
	}
}

// A run that is stopped after any step, and goes on with two ranks, ends with
// the bits of one that is not stopped.
func TestResumeIsExact(t *testing.T) {
	for _, v := range variants {
		j := digits(smallMLP)
		v.edit(&j.config)
		want := j.run(t)
		// Around both events, inside all phases, and at the end.
		for _, stop := range some([]uint64{2, 4, 5, 10, 15, 16, 17, 20, 23}) {
			dir := t.TempDir()
			k := j
			k.edit = func(c *trainer.Config, _ *Method) { c.Dir = dir }
			k.probe = func(e trainer.Event, r *trainer.Run) error {
				if e == trainer.Boundary && r.Step+1 == stop {
					r.RequestStop()
				}
				return nil
			}
			if got := k.run(t); got.Step != stop {
				t.Fatalf("%s: stopped at step %d, want %d", v.name, got.Step, stop)
			}
			k.probe = nil
			if got := k.run(t, group(t, 2)...); got.Digest != want.Digest || got.Eval.Loss != want.Eval.Loss {
				t.Errorf("%s stopped at step %d: digest %v, uninterrupted %v", v.name, stop, got.Digest, want.Digest)
			}
		}
	}
}

// Invariants 1, 2 and 3: without a price s follows the loss alone; it is
// frozen, to the bit, in the quantized phase; what the network computes with is
// what the phase says; at the end its own weights are the rounded ones.
func TestPhases(t *testing.T) {
	j := digits(smallResNet)
	var frozen []float32
	seen := map[Phase]int{}
	j.probe = func(e trainer.Event, r *trainer.Run) error {
		p := Plan{First: 4, Switch: 16, Steps: 24}
		for _, l := range layers(r.Graph()) {
			w, used := values(t, r, l.w.W), values(t, r, l.used.W)
			s, bits, m := values(t, r, l.s.W), values(t, r, l.bits.W), values(t, r, l.scale.W)
			switch {
			case e == trainer.Boundary:
				seen[p.At(r.Step)]++
				switch p.At(r.Step) {
				case PhaseFull:
					if !slices.Equal(w, used) {
						t.Errorf("step %d: %v computes with other weights than its own", r.Step, l)
					}
				case PhaseNoise:
					wantNoise(t, l, w, used, s)
				case PhaseQuant:
					wantRounded(t, l, w, used, m, bits)
				}
			case e == trainer.Stepped && l.w.Name == "layer1.0.conv1.weight" && r.Step == p.Switch:
				frozen = s
			case e == trainer.Stepped && l.w.Name == "layer1.0.conv1.weight" && r.Step > p.Switch && !slices.Equal(s, frozen):
				t.Errorf("step %d: s is %v, at the switch %v", r.Step, s, frozen)
			case e == trainer.Finished && !slices.Equal(w, used):
				t.Errorf("%v: the finished network has other weights than those it computes with", l)
			}
		}
		return nil
	}
	j.run(t)
	if n := len(seen); n != 3 || frozen == nil {
		t.Errorf("phases seen: %v", seen)
	}
}

func wantNoise(t *testing.T, l *layer, w, used, s []float32) {
	t.Helper()
	most := make([]float64, l.outs)
	for i, v := range w {
		most[i%l.outs] = max(most[i%l.outs], float64(v), -float64(v))
	}
	moved := false
	for i := range w {
		amp := NoiseCalibrated.Amplitude(float64(s[i/l.outs%l.channels]), most[i%l.outs])
		d := float64(used[i] - w[i])
		if moved = moved || d != 0; d > amp*1.0001+1e-7 || d < -amp*1.0001-1e-7 {
			t.Errorf("%v: noise %v, want at most %v", l, d, amp)
		}
	}
	if !moved {
		t.Errorf("%v: no noise", l)
	}
}

func wantRounded(t *testing.T, l *layer, w, used, m, bits []float32) {
	t.Helper()
	for i := range w {
		p := int(bits[i/l.outs%l.channels])
		want := Round(float64(w[i]), float64(m[i%l.outs]), p)
		if d := float64(used[i]) - want; d > 1e-6 || d < -1e-6 {
			t.Fatalf("%v: weight %v of %d bits becomes %v, want %v (scale %v)", l, w[i], p, used[i], want, m[i%l.outs])
		}
	}
}

// The price removes bits: a higher one leaves fewer.
func TestPriceRemovesBits(t *testing.T) {
	mean := func(price float64) (bits float64) {
		j := digits(smallMLP)
		j.config.Price = price
		j.probe = func(e trainer.Event, r *trainer.Run) error {
			if e == trainer.Finished {
				n := 0
				for _, l := range layers(r.Graph()) {
					for _, b := range values(t, r, l.bits.W) {
						bits, n = bits+float64(b), n+1
					}
				}
				bits /= float64(n)
			}
			return nil
		}
		j.run(t)
		return bits
	}
	low, high := mean(0.01), mean(100)
	if !(high < low) {
		t.Errorf("bits: %v at a low price, %v at a high one", low, high)
	}
}

// A run that diverges is noticed: what is no number is not rounded away.
func TestDivergenceIsNoticed(t *testing.T) {
	j := digits(smallMLP)
	j.optim.LR = 1e30
	if _, err := j.try(t); !errors.Is(err, trainer.ErrDiverged) {
		t.Errorf("got %v", err)
	}
}
