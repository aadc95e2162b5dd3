package grow

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/espalier-ml/espalier/trainer"
	"github.com/espalier-ml/espalier/trainer/graph"
	"github.com/espalier-ml/espalier/trainer/models"
)

func trace(t testing.TB, s models.Spec, cfg graph.Config, batch int) *graph.Graph {
	t.Helper()
	g, err := models.Trace(s, cfg, batch)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func dims(full ...int) []*graph.Dim {
	var ds []*graph.Dim
	for i, n := range full {
		ds = append(ds, &graph.Dim{Name: string(rune('a' + i)), Full: n, Bounds: []int{n}})
	}
	return ds
}

// paper are the published settings for CIFAR-10 as far as they are known.
func paper(first float64) Config {
	c := Defaults()
	c.Epochs0 = first
	return c
}

// The schedule's cost by an independent count; for 200 epochs of CIFAR-10 the
// paper has 54.90, 52.91 and 53.80 %.
func TestTrainCost(t *testing.T) {
	for _, c := range []struct {
		model         string
		side          int
		first, epochs float64
		want          float64
	}{
		{"resnet-20", 32, 8, 160, 53.7}, {"resnet-20", 32, 10, 200, 55.5},
		{"vgg-11", 32, 8, 160, 51.3}, {"vgg-11", 32, 10, 200, 53.2},
		{"mobilenet", 32, 8, 160, 52.0}, {"mobilenet", 32, 10, 200, 53.9},
		{"resnet-50", 224, 4, 90, 57.5}, {"mobilenet", 224, 4, 90, 57.8},
	} {
		spec := models.Spec{Name: c.model, Height: c.side, Width: c.side, Channels: 3, Classes: 10}
		if c.side > 32 {
			spec.Classes = 1000
		}
		p, err := NewPlan(paper(c.first), trace(t, spec, graph.Config{}, 1).Dims(), 50000, c.epochs, 128, 4)
		if err != nil {
			t.Fatal(err)
		}
		grown, fixed, err := p.Cost(Flops(spec))
		if err != nil {
			t.Fatal(err)
		}
		if got := 100 * grown / fixed; math.Abs(got-c.want) > 0.6 {
			t.Errorf("%s on %d pixels, %v epochs: cost %.2f %%, want %v ± 0.6", c.model, c.side, c.epochs, got, c.want)
		}
	}
}

func TestPlanCountsSamplesExactly(t *testing.T) {
	for _, c := range []struct {
		name           string
		samples        int
		epochs         float64
		batch, shards  int
		growth         float64
		batches        []int
		wantTotal      uint64
		wantFirstBatch int
	}{
		{"one batch size", 50000, 160, 128, 4, 0, nil, 8000000, 128},
		{"batch growth", 50000, 160, 128, 4, 0.2, nil, 8000000, 552},
		{"samples prime to everything", 3823, 20, 96, 4, 0.2, nil, 76460 / 96 * 96, roundUp(Batches(96, 0.2, 9)[0], 4)},
		{"batch no multiple of shards", 3823, 30, 45, 8, 0.3, nil, 114690 / 48 * 48, roundUp(Batches(48, 0.3, 9)[0], 8)},
		{"short last stage, large remainder", 1000, 10, 64, 64, 0, []int{64, 64, 64, 64, 64, 64, 64, 64, 576}, 9984, 64},
		{"fraction of an epoch", 50000, 0.5, 32, 4, 0, nil, 25000 / 32 * 32, 32},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := Defaults()
			cfg.BatchGrowth, cfg.Batches = c.growth, c.batches
			p, err := NewPlan(cfg, dims(16, 32), c.samples, c.epochs, c.batch, c.shards)
			if err != nil {
				t.Fatal(err)
			}
			var samples, steps uint64
			for _, ph := range p.Timeline() {
				samples += ph.Steps * uint64(ph.Batch)
				steps += ph.Steps
				if ph.Batch%c.shards != 0 {
					t.Errorf("batch %d is no multiple of %d shards", ph.Batch, c.shards)
				}
			}
			if samples != c.wantTotal || p.TotalSamples() != c.wantTotal {
				t.Errorf("timeline has %d samples, plan %d, want %d", samples, p.TotalSamples(), c.wantTotal)
			}
			if steps != p.Steps() {
				t.Errorf("timeline has %d steps, plan %d", steps, p.Steps())
			}
			if p.Stages[0].Batch != c.wantFirstBatch {
				t.Errorf("first batch %d, want %d", p.Stages[0].Batch, c.wantFirstBatch)
			}
			checkBoundaries(t, p)
		})
	}
}

// checkBoundaries holds every stage against its planned end: less than one
// batch early, never late.
func checkBoundaries(t *testing.T, p *Plan) {
	t.Helper()
	var step, used uint64
	planned, epochs := 0.0, 0.0
	for i, s := range p.Stages {
		epochs += s.Epochs
		planned += s.Epochs * float64(p.Samples)
		if s.First != step {
			t.Errorf("stage %d begins at step %d, want %d", i, s.First, step)
		}
		step += s.Steps
		used += s.Samples
		if early := planned + 0.5 - float64(used); early < 0 || early > float64(s.Batch)+1 {
			t.Errorf("stage %d ends %v samples early, batch %d", i, early, s.Batch)
		}
	}
	if math.Abs(epochs-p.Epochs) > 1e-9*p.Epochs {
		t.Errorf("stages have %v epochs, the run %v", epochs, p.Epochs)
	}
}

func TestRemainderIsSpreadThinly(t *testing.T) {
	for _, c := range []struct {
		steps       uint64
		batch, rest int
		want        []trainer.Phase
	}{
		{10, 32, 0, []trainer.Phase{{Steps: 10, Batch: 32}}},
		{10, 32, 12, []trainer.Phase{{Steps: 7, Batch: 32}, {Steps: 3, Batch: 36}}},
		{3, 32, 28, []trainer.Phase{{Steps: 2, Batch: 40}, {Steps: 1, Batch: 44}}},
	} {
		if got := spread(c.steps, c.batch, c.rest, 4); !slices.Equal(got, c.want) {
			t.Errorf("%d samples over %d steps of %d: %v, want %v", c.rest, c.steps, c.batch, got, c.want)
		}
	}
}

func TestPlanSizesKeepHistory(t *testing.T) {
	c := Defaults()
	c.Multipliers = []float64{0.25, 0.5, 0.5, 1}
	c.Keep = []string{"c*"}
	p, err := NewPlan(c, dims(16, 3, 8), 1000, 4, 10, 2)
	if err != nil {
		t.Fatal(err)
	}
	want := graph.Sizes{"a": {4, 8, 8, 16}, "b": {3, 3, 3, 3}, "c": {8, 8, 8, 8}}
	if got := p.Sizes(3); !got.Equal(want) {
		t.Errorf("sizes %v, want %v", got, want)
	}
	if got := p.Initial(); !got.Equal(graph.Sizes{"a": {4}, "b": {3}, "c": {8}}) {
		t.Errorf("initial sizes %v", got)
	}
	if notes := strings.Join(p.Notes, "\n"); !strings.Contains(notes, "b") || !strings.Contains(notes, "no Dim grows at stage 3") {
		t.Errorf("notes %q: want the small Dim and the idle stage", notes)
	}
}

func TestPlanTravelsAsJSON(t *testing.T) {
	p, err := NewPlan(paper(8), dims(16, 64), 50000, 160, 128, 4)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	var q Plan
	if err := json.Unmarshal(raw, &q); err != nil {
		t.Fatal(err)
	}
	if q.Hash() != p.Hash() || len(p.Hash()) != 64 {
		t.Errorf("hash %s after a round trip, %s before", q.Hash(), p.Hash())
	}
	c := paper(8)
	c.Growth = 0.3
	other, err := NewPlan(c, dims(16, 64), 50000, 160, 128, 4)
	if err != nil {
		t.Fatal(err)
	}
	if other.Hash() == p.Hash() {
		t.Error("plans of unlike growth have one hash")
	}
}

func TestImpossiblePlansAreNamed(t *testing.T) {
	for _, c := range []struct {
		name    string
		edit    func(*Config)
		samples int
		epochs  float64
		want    string
	}{
		{"too few epochs for the stages", func(c *Config) { c.Epochs0 = 8 }, 1000, 100, "take 134 epochs"},
		{"a stage without steps", func(c *Config) {}, 100, 1, "has no steps"},
		{"epochs that do not add up", func(c *Config) { c.Epochs = []float64{1, 2, 3, 4, 5, 6, 7, 8, 9} }, 1000, 44, "add up to 45"},
		{"lists of other lengths", func(c *Config) { c.Epochs, c.Batches = []float64{1}, []int{1, 2} }, 1000, 9, "batches of 2 stages"},
		{"multipliers that fall", func(c *Config) { c.Multipliers = []float64{0.5, 0.25, 1} }, 1000, 9, "rising"},
		{"multipliers that end early", func(c *Config) { c.Multipliers = []float64{0.5, 0.75} }, 1000, 9, "end with 1"},
		{"no stages", func(c *Config) { c.Stages = 0 }, 1000, 9, "0 stages"},
		{"not a number", func(c *Config) { c.Growth = math.NaN() }, 1000, 9, "growth NaN"},
		{"unknown mode", func(c *Config) { c.VT = "full" }, 1000, 9, `vt "full"`},
		{"unknown adaptation", func(c *Config) { c.LRA = "yes" }, 1000, 9, `lra "yes"`},
		{"unknown initialisation", func(c *Config) { c.Init = "zero" }, 1000, 9, `init "zero"`},
		{"copies with variance transfer", func(c *Config) { c.Init = InitNet2Net }, 1000, 9, "set vt to none"},
		{"nothing to keep", func(c *Config) { c.Keep = []string{"x"} }, 1000, 90, "names none"},
		{"bad pattern", func(c *Config) { c.Keep = []string{"["} }, 1000, 9, "keep"},
		{"no data", func(c *Config) {}, 0, 9, "0 samples"},
		{"no epochs", func(c *Config) {}, 1000, math.Inf(1), "epochs"},
	} {
		cfg := Defaults()
		c.edit(&cfg)
		if _, err := NewPlan(cfg, dims(16, 32), c.samples, c.epochs, 32, 4); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want mention of %q", c.name, err, c.want)
		}
	}
}
