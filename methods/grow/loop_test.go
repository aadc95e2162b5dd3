package grow

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"sync"
	"testing"

	"github.com/espalier-ml/espalier/collective"
	"github.com/espalier-ml/espalier/collective/shm"
	"github.com/espalier-ml/espalier/collective/solo"
	"github.com/espalier-ml/espalier/kernels"
	"github.com/espalier-ml/espalier/trainer"
	"github.com/espalier-ml/espalier/trainer/data"
	"github.com/espalier-ml/espalier/trainer/graph"
	"github.com/espalier-ml/espalier/trainer/models"
	"github.com/espalier-ml/espalier/trainer/optim"
)

var (
	smallMLP    = models.Spec{Name: "mlp", Hidden: []int{16, 12}, Norm: true}
	smallResNet = models.Spec{Name: "resnet-8", Base: 8}
)

// job is a growing run on the embedded digits, for one rank.
type job struct {
	model  models.Spec
	grow   Config
	epochs float64
	batch  int
	optim  optim.Config
	edit   func(*trainer.Config)
	probes func() (before, after trainer.Method) // around the growing method
}

// fourStages grow twice as often as the network is long.
func fourStages() Config {
	c := Defaults()
	c.Multipliers = []float64{0.25, 0.5, 0.75, 1}
	return c
}

func digits(model models.Spec) job {
	sgd := optim.Defaults(optim.SGD)
	sgd.LR = 0.05
	return job{model: model, grow: fourStages(), epochs: 1, batch: 128, optim: sgd}
}

func (j job) config(t testing.TB, comm collective.Comm) (trainer.Config, *Plan) {
	t.Helper()
	set, err := data.Open("optdigits", "")
	if err != nil {
		t.Fatal(err)
	}
	train, err := set.Training(data.Options{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	test, err := set.Evaluation(data.Options{})
	if err != nil {
		t.Fatal(err)
	}
	row := train.Row()
	j.model.Height, j.model.Width, j.model.Channels, j.model.Classes = row.Shape[0], row.Shape[1], row.Shape[2], row.Classes
	p, err := NewPlan(j.grow, trace(t, j.model, graph.Config{}, 1).Dims(), train.Samples(), j.epochs, j.batch, 4)
	if err != nil {
		t.Fatal(err)
	}
	cfg := trainer.Config{Model: j.model, Seed: 1, Shards: 4, Sizes: p.Initial(), Timeline: p.Timeline(), Stages: len(p.Stages),
		Optim: j.optim, Schedule: optim.Schedule{Decay: optim.Cosine}, Methods: []trainer.Method{New(p)},
		Train: train, Test: test, Device: device(t), Comm: comm}
	if j.probes != nil {
		before, after := j.probes()
		cfg.Methods = slices.DeleteFunc([]trainer.Method{before, cfg.Methods[0], after}, func(m trainer.Method) bool { return m == nil })
	}
	if j.edit != nil {
		j.edit(&cfg)
	}
	return cfg, p
}

// run trains on every rank of comms at once; all must end alike.
func (j job) run(t testing.TB, comms ...collective.Comm) trainer.Result {
	t.Helper()
	if len(comms) == 0 {
		comms = []collective.Comm{solo.New(collective.Gen{})}
	}
	results, errs := make([]trainer.Result, len(comms)), make([]error, len(comms))
	var wg sync.WaitGroup
	for i, c := range comms {
		cfg, _ := j.config(t, c)
		wg.Go(func() {
			results[i], errs[i] = trainer.Train(context.Background(), cfg, nil)
			if errs[i] != nil {
				c.Abort(errs[i])
			}
			errs[i] = errors.Join(errs[i], c.Close(context.Background()))
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	for i, r := range results {
		if r.Digest != results[0].Digest {
			t.Fatalf("rank %d ends with digest %v, rank 0 with %v", i, r.Digest, results[0].Digest)
		}
	}
	return results[0]
}

func group(t testing.TB, world int) []collective.Comm {
	t.Helper()
	comms, err := shm.NewHeapGroup(world, shm.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return comms
}

// probe is a method that only looks.
type probe func(e trainer.Event, r *trainer.Run) error

func (probe) Name() string                               { return "probe" }
func (p probe) On(e trainer.Event, r *trainer.Run) error { return p(e, r) }
func (probe) Save() (json.RawMessage, error)             { return nil, nil }
func (probe) Load(json.RawMessage) error                 { return nil }
func behind(p probe) func() (before, after trainer.Method) {
	return func() (_, _ trainer.Method) { return nil, p }
}

func read(t testing.TB, r *trainer.Run, x *kernels.Tensor) []float32 {
	t.Helper()
	v := make([]float32, x.Len())
	if err := r.Device().ReadF32(x, v); err != nil {
		t.Error(err)
	}
	return v
}

// Invariant 8: with one stage, and with all of a longer plan's first, the
// trainer does what it does without the method, bit for bit.
func TestOneStageIsPlainTraining(t *testing.T) {
	plain := digits(smallMLP)
	plain.grow.Multipliers = []float64{1}
	want := plain
	want.edit = func(c *trainer.Config) { c.Methods, c.Sizes = nil, nil }
	digest := want.run(t).Digest
	for _, lra := range []LRA{LRAAuto, LRANone, LRANorm, LRARMS, LRALARS} {
		plain.grow.LRA = lra
		if got := plain.run(t).Digest; got != digest {
			t.Errorf("lra %s: digest %v, plain training ends with %v", lra, got, digest)
		}
	}
}

// Invariant 9, in the loop: blocks partition every tensor, and rates follow
// their norms.
func TestRatesFollowTheNorms(t *testing.T) {
	for _, lra := range []LRA{LRAAuto, LRANorm, LRARMS, LRALARS, LRANone} {
		t.Run(string(lra), func(t *testing.T) {
			j := digits(smallMLP)
			j.grow.LRA = lra
			adapted := 0
			j.probes = behind(func(e trainer.Event, r *trainer.Run) error {
				if e == trainer.Rates && r.Step%5 == 0 {
					adapted += checkRates(t, r, lra)
				}
				return nil
			})
			j.run(t)
			if lra != LRANone && adapted == 0 {
				t.Error("no rate was adapted")
			}
		})
	}
}

func checkRates(t *testing.T, r *trainer.Run, lra LRA) (adapted int) {
	for _, e := range r.Optim().Entries {
		w, g := read(t, r, e.Param.W), read(t, r, e.Param.G)
		sw, sg, n := make([]float64, e.Blocks.N), make([]float64, e.Blocks.N), make([]float64, e.Blocks.N)
		walk(e.Param, e.Param, func(at *place) { // the block from the Dims themselves
			k := 0
			for i, a := range e.Param.Axes {
				if a.Dim != nil {
					inner := 1
					for _, b := range e.Param.Axes[i+1:] {
						inner *= b.Size()
					}
					k = max(k, a.Dim.Block(a.Unit(at.index/inner%a.Size())))
				}
			}
			x, y := float64(w[at.index]), float64(g[at.index])
			sw[k], sg[k], n[k] = sw[k]+x*x, sg[k]+y*y, n[k]+1
		})
		if counts := blockCounts(e.Blocks); !slices.Equal(counts, n) {
			t.Fatalf("%s: blocks have %v entries, counted %v", e.Param.Name, counts, n)
		}
		f := make([]float64, e.Blocks.N)
		for k := range f {
			switch lra {
			case LRARMS:
				f[k] = math.Sqrt(sw[k] / n[k])
			case LRALARS:
				f[k] = math.Sqrt(sw[k]) / math.Sqrt(sg[k])
			default:
				f[k] = math.Sqrt(sw[k])
			}
		}
		Ratios(f, f)
		for k, got := range e.Factor {
			want := 1.0
			if lra != LRANone && len(e.Param.Axes) > 1 {
				want = f[k]
			}
			if math.Abs(float64(got)-want) > 1e-4*want {
				t.Errorf("step %d, %s, block %d: factor %v, want %v", r.Step, e.Param.Name, k, got, want)
			}
			if got != 1 {
				adapted++
			}
		}
	}
	return adapted
}

func TestRatios(t *testing.T) {
	for _, c := range []struct {
		name    string
		f, want []float64
	}{
		{"equal", []float64{2, 2, 2}, []float64{1, 1, 1}},
		{"one block scaled", []float64{2, 6, 2}, []float64{1, 3, 1}},
		{"clamped", []float64{1, 1000, 1e-3}, []float64{1, 10, 0.1}},
		{"empty block", []float64{2, 0, 3}, []float64{1, 1, 1.5}},
		{"nothing in stage 0", []float64{0, 2}, []float64{1, 1}},
		{"no gradient", []float64{1, math.Inf(1), math.NaN()}, []float64{1, 1, 1}},
	} {
		got := make([]float64, len(c.f))
		Ratios(c.f, got)
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// The effect of size: equal variances give √(n_k/n_0).
func TestRatiosOfEqualVariance(t *testing.T) {
	d := &graph.Dim{Name: "d", Full: 64, Bounds: Widths(64, 9, 0.25, 0.2)}
	p := &graph.Param{ParamSpec: graph.Weight(d.Axis(), d.Axis())}
	f := blockCounts(p.Blocks())
	for k := range f {
		f[k] = math.Sqrt(f[k])
	}
	Ratios(f, f)
	for k, want := range []float64{1, .75, .83, .90, 1.21, 1.32, 1.66, 2.03, 1.69} {
		if math.Abs(f[k]-want) > 0.006 {
			t.Errorf("block %d: ratio %.3f, want %v", k, f[k], want)
		}
	}
}

func TestRewarm(t *testing.T) {
	for _, c := range []struct {
		age  uint64
		want float64
	}{{0, 1.003}, {49, 1.15}, {99, 1.3}, {100, 1.3}, {550, 1.15}, {1000, 1}, {5000, 1}} {
		if got := rewarm(1.3, c.age, 100, 1000); math.Abs(got-c.want) > 1e-9 {
			t.Errorf("age %d: factor %v, want %v", c.age, got, c.want)
		}
	}
}

// New entries are re-warmed, old ones and stage 0 are not; the output layer
// has the factor of its width at the start.
func TestRewarmAndOutputFactorInTheLoop(t *testing.T) {
	j := digits(smallMLP)
	j.grow.LRA, j.grow.Rewarm, j.grow.RewarmSteps, j.grow.OutRef = LRANone, 1.3, 2, 2
	seen := 0
	j.probes = behind(func(e trainer.Event, r *trainer.Run) error {
		if e != trainer.Rates || len(r.Births) < 3 || r.Step != r.Births[2]+1 {
			return nil
		}
		for _, x := range r.Optim().Entries {
			out := 1.0
			if x.Param.Name == "out.weight" {
				out = 2.0 / 4 // C_ref / C_0: the last hidden Dim begins with 4 units
			}
			if x.Factor[0] != float32(out) {
				t.Errorf("%s: factor of stage 0 is %v, want %v", x.Param.Name, x.Factor[0], out)
			}
			if len(x.Factor) > 2 && math.Abs(float64(x.Factor[2])-1.3*out) > 1e-6 {
				t.Errorf("%s: factor of the new entries is %v, want %v", x.Param.Name, x.Factor[2], 1.3*out)
			}
			seen++
		}
		return nil
	})
	j.run(t)
	if seen == 0 {
		t.Error("the second event never came")
	}
}
