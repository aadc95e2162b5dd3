package quantize

import (
	"strings"
	"testing"

	"github.com/espalier-ml/espalier/trainer"
)

// compositions are runs with other methods in front: 4 steps an epoch.
var compositions = []struct {
	name          string
	start, epochs float64
	edit          func(t testing.TB, c *trainer.Config)
	stops         []uint64
}{
	{"grown, then quantized", 2, 2, func(t testing.TB, c *trainer.Config) { growing(t, c, 28) }, []uint64{4, 8, 9, 12, 16, 17, 25}},
	{"grown while there is noise", 0, 4, func(t testing.TB, c *trainer.Config) { growing(t, c, 28) }, []uint64{3, 4, 5, 8, 13, 16, 20}},
	{"thinned, then quantized", 4, 1, func(t testing.TB, c *trainer.Config) { thinning(t, c) }, []uint64{6, 16, 17, 20, 21, 25}},
	{"grown, thinned, quantized", 4, 1, func(t testing.TB, c *trainer.Config) {
		growing(t, c, 28)
		thinning(t, c)
	}, []uint64{5, 9, 16, 18, 20, 24}},
}

// Same bits at any world; resumed in any phase, by two ranks, to the same
// bits.
func TestCompositions(t *testing.T) {
	for _, c := range compositions {
		t.Run(c.name, func(t *testing.T) {
			j := digits(smallMLP)
			if len(c.stops) == 6 && !testing.Short() { // the thinned ones
				j.model = smallResNet
			}
			j.steps, j.config.Start, j.config.Epochs, j.config.Rate = 28, c.start, c.epochs, 0.5
			j.edit = func(cfg *trainer.Config, _ *Method) { c.edit(t, cfg) }
			want := j.run(t)
			if got := j.run(t, group(t, 4)...); got.Digest != want.Digest {
				t.Errorf("four ranks end with %v, one with %v", got.Digest, want.Digest)
			}
			for _, stop := range some(c.stops) {
				dir := t.TempDir()
				k := j
				k.edit = func(cfg *trainer.Config, m *Method) { j.edit(cfg, m); cfg.Dir = dir }
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
				if got := k.run(t, group(t, 2)...); got.Digest != want.Digest {
					t.Errorf("stopped at step %d: digest %v, uninterrupted %v", stop, got.Digest, want.Digest)
				}
			}
		})
	}
}

// New channels come with the precision that all began with; old ones keep
// theirs.
func TestGrownChannelsBeginAnew(t *testing.T) {
	j := digits(smallResNet)
	j.steps, j.config.Start, j.config.Epochs, j.config.Rate = 28, 0, 4, 0.5
	j.edit = func(c *trainer.Config, _ *Method) { growing(t, c, 28) }
	first := float32(Variable(j.config.Bits0))
	old, grown := 0, 0
	j.probe = func(e trainer.Event, r *trainer.Run) error {
		for _, l := range layers(r.Graph()) {
			s := values(t, r, l.s.W)
			if e != trainer.Boundary || l.w.Name != "layer1.0.conv1.weight" {
				continue
			}
			if old > 0 && len(s) > old {
				grown++
				for c, v := range s {
					if (v == first) != (c >= old) {
						t.Errorf("channel %d has s %v, began with %v", c, v, first)
					}
				}
			}
			old = len(s)
		}
		return nil
	}
	j.run(t)
	if grown == 0 {
		t.Error("the layer was not seen growing")
	}
}

// Weights that thinning removed stay exactly 0 under noise and rounding.
func TestRemovedWeightsStayAway(t *testing.T) {
	j := digits(smallMLP)
	j.steps, j.config.Start, j.config.Epochs = 28, 4, 1
	j.edit = func(c *trainer.Config, _ *Method) { thinning(t, c) }
	removed := 0
	j.probe = func(e trainer.Event, r *trainer.Run) error {
		if e != trainer.Boundary && e != trainer.Finished || r.Step < 16 {
			return nil
		}
		for _, l := range layers(r.Graph()) {
			if l.gate == nil {
				continue
			}
			used := values(t, r, l.used.W)
			for i, g := range values(t, r, l.gate.W) {
				if g == 0 {
					removed++
					if used[i] != 0 {
						t.Fatalf("step %d: %v computes with %v where a weight was removed", r.Step, l, used[i])
					}
				}
			}
		}
		return nil
	}
	j.run(t)
	if removed == 0 {
		t.Error("nothing was removed")
	}
}

func TestGrowthBehindTheSwitchIsRefused(t *testing.T) {
	j := digits(smallResNet)
	j.steps, j.config.Start, j.config.Epochs = 28, 0, 1.5
	j.edit = func(c *trainer.Config, _ *Method) { growing(t, c, 28) }
	if _, err := j.try(t); err == nil || !strings.Contains(err.Error(), "got their bits") {
		t.Errorf("%v", err)
	}
}
