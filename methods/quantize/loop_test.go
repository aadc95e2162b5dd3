package quantize

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"testing"

	"github.com/espalier-ml/espalier/collective"
	"github.com/espalier-ml/espalier/collective/shm"
	"github.com/espalier-ml/espalier/collective/solo"
	"github.com/espalier-ml/espalier/kernels"
	"github.com/espalier-ml/espalier/kernels/cpu"
	"github.com/espalier-ml/espalier/methods/grow"
	"github.com/espalier-ml/espalier/methods/sparsify"
	"github.com/espalier-ml/espalier/trainer"
	"github.com/espalier-ml/espalier/trainer/data"
	"github.com/espalier-ml/espalier/trainer/graph"
	"github.com/espalier-ml/espalier/trainer/models"
	"github.com/espalier-ml/espalier/trainer/optim"
)

var (
	smallMLP    = models.Spec{Name: "mlp", Hidden: []int{16, 12}, Norm: true}
	smallResNet = models.Spec{Name: "resnet-8", Base: 4}
)

// job is a run on the embedded digits.
type job struct {
	model  models.Spec
	config Config
	steps  uint64
	batch  int
	optim  optim.Config
	edit   func(*trainer.Config, *Method)
	probe  probe // behind the method
}

// epoch is what the plans of tests count as one: four steps.
const epoch = 4 * 64

// digits is a run of one epoch in full precision, three of noise, two
// quantized.
func digits(model models.Spec) job {
	sgd := optim.Defaults(optim.SGD)
	sgd.LR, sgd.Nesterov, sgd.WeightDecay = 0.05, true, 1e-4
	c := Defaults()
	c.Start, c.Epochs, c.Group = 1, 3, 4
	return job{model: model, config: c, steps: 24, batch: 64, optim: sgd}
}

func (j job) open(t testing.TB, comm collective.Comm) (trainer.Config, *Method) {
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
	dev, err := cpu.New(cpu.Options{Threads: 1, Spin: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dev.Close() })
	timeline := []trainer.Phase{{Steps: j.steps, Batch: j.batch}}
	p, err := NewPlan(j.config, timeline, epoch)
	if err != nil {
		t.Fatal(err)
	}
	m := New(p)
	cfg := trainer.Config{Model: j.model, Seed: 1, Shards: 4, Timeline: timeline,
		Optim: j.optim, Schedule: optim.Schedule{Decay: optim.Cosine}, Methods: []trainer.Method{m},
		Train: train, Test: test, Device: dev, Comm: comm}
	if j.edit != nil {
		j.edit(&cfg, m)
	}
	if j.probe != nil {
		cfg.Methods = append(cfg.Methods, j.probe)
	}
	return cfg, m
}

// run trains on every rank of comms at once; all must end alike.
func (j job) run(t testing.TB, comms ...collective.Comm) trainer.Result {
	t.Helper()
	r, err := j.try(t, comms...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (j job) try(t testing.TB, comms ...collective.Comm) (trainer.Result, error) {
	t.Helper()
	if len(comms) == 0 {
		comms = []collective.Comm{solo.New(collective.Gen{})}
	}
	results, errs := make([]trainer.Result, len(comms)), make([]error, len(comms))
	var wg sync.WaitGroup
	for i, c := range comms {
		cfg, _ := j.open(t, c)
		wg.Go(func() {
			results[i], errs[i] = trainer.Train(context.Background(), cfg, nil)
			if errs[i] != nil {
				c.Abort(errs[i])
			}
			errs[i] = errors.Join(errs[i], c.Close(context.Background()))
		})
	}
	wg.Wait()
	for i, r := range results {
		if r.Digest != results[0].Digest {
			t.Fatalf("rank %d ends with digest %v, rank 0 with %v", i, r.Digest, results[0].Digest)
		}
	}
	return results[0], errors.Join(errs...)
}

func group(t testing.TB, world int) []collective.Comm {
	t.Helper()
	comms, err := shm.NewHeapGroup(world, shm.Options{Spin: -1})
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

// some is every third of all stops where tests are to be short.
func some(stops []uint64) []uint64 {
	if !testing.Short() {
		return stops
	}
	var few []uint64
	for i := 0; i < len(stops); i += 3 {
		few = append(few, stops[i])
	}
	return few
}

func values(t testing.TB, r *trainer.Run, x *kernels.Tensor) []float32 {
	t.Helper()
	v, err := read(r.Device(), x)
	if err != nil {
		t.Error(err)
	}
	return v
}

// growing has the network grow at steps 4 and 8 of `steps`.
func growing(t testing.TB, c *trainer.Config, steps uint64) {
	t.Helper()
	trace, err := models.Trace(c.Model, graph.Config{}, 1)
	if err != nil {
		t.Fatal(err)
	}
	gc := grow.Defaults()
	gc.Multipliers = []float64{0.5, 0.75, 1}
	gc.Epochs = []float64{1, 1, float64(steps/4) - 2}
	p, err := grow.NewPlan(gc, trace.Dims(), epoch, float64(steps/4), 64, 4)
	if err != nil {
		t.Fatal(err)
	}
	c.Sizes, c.Timeline, c.Stages = p.Initial(), p.Timeline(), len(p.Stages)
	c.Methods = append([]trainer.Method{grow.New(p)}, c.Methods...)
}

// thinning removes weights in one round from step 8 to step 15.
func thinning(t testing.TB, c *trainer.Config) {
	t.Helper()
	s := sparsify.Defaults()
	s.Goal, s.Rise, s.Rounds, s.Start, s.Epochs, s.S0 = sparsify.GoalPrune, sparsify.RiseStep, 1, 2, 2, -0.1
	p, err := sparsify.NewPlan(s, c.Timeline, epoch)
	if err != nil {
		t.Fatal(err)
	}
	c.Restarts = p.Restarts()
	at := len(c.Methods) - 1 // quantize is the last
	c.Methods = append(c.Methods[:at:at], sparsify.New(p), c.Methods[at])
}
