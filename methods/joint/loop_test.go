package joint

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
	"github.com/espalier-ml/espalier/trainer"
	"github.com/espalier-ml/espalier/trainer/data"
	"github.com/espalier-ml/espalier/trainer/graph"
	"github.com/espalier-ml/espalier/trainer/models"
	"github.com/espalier-ml/espalier/trainer/optim"
)

var (
	smallMLP    = models.Spec{Name: "mlp", Hidden: []int{16, 12}, Norm: true}
	smallResNet = models.Spec{Name: "resnet-8", Base: 4}
	smallBank   = models.Spec{Name: "swrn-16-1-2"}
)

// epoch is what the plans of tests count as one: four steps.
const epoch = 4 * 64

// job is a run on the embedded digits.
type job struct {
	model  models.Spec
	config Config
	steps  uint64
	growth bool // the network grows at steps 4 and 8
	dir    string
	probe  probe // behind the method
}

// digits is a run of one epoch as ever, three of search, two behind it.
func digits(model models.Spec) job {
	c := Defaults()
	c.Start, c.Epochs, c.Group, c.GateRate = 1, 3, 4, 0.05
	return job{model: model, config: c, steps: 24}
}

func (j job) open(t testing.TB, comm collective.Comm) trainer.Config {
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
	sgd := optim.Defaults(optim.SGD)
	sgd.LR, sgd.Nesterov, sgd.WeightDecay = 0.05, true, 1e-4
	cfg := trainer.Config{Model: j.model, Seed: 1, Shards: 4, Timeline: []trainer.Phase{{Steps: j.steps, Batch: 64}},
		Optim: sgd, Schedule: optim.Schedule{Decay: optim.Cosine}, Train: train, Test: test, Device: dev, Comm: comm, Dir: j.dir}
	if j.growth {
		j.grow(t, &cfg)
	}
	p, err := NewPlan(j.config, j.model, cfg.Timeline, epoch)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Methods = append(cfg.Methods, New(p))
	if j.probe != nil {
		cfg.Methods = append(cfg.Methods, j.probe)
	}
	return cfg
}

func (j job) grow(t testing.TB, c *trainer.Config) {
	t.Helper()
	trace, err := models.Trace(c.Model, graph.Config{}, 1)
	if err != nil {
		t.Fatal(err)
	}
	gc := grow.Defaults()
	gc.Multipliers = []float64{0.5, 0.75, 1}
	gc.Epochs = []float64{1, 1, float64(j.steps/4) - 2}
	p, err := grow.NewPlan(gc, trace.Dims(), epoch, float64(j.steps/4), 64, 4)
	if err != nil {
		t.Fatal(err)
	}
	c.Sizes, c.Timeline, c.Stages = p.Initial(), p.Timeline(), len(p.Stages)
	c.Methods = append(c.Methods, grow.New(p))
}

// plan is that of the method, which is the last.
func (j job) plan(t testing.TB) *Plan {
	t.Helper()
	j.probe = nil
	all := j.open(t, nil).Methods
	return all[len(all)-1].(*Method).plan
}

// try trains on every rank of comms at once; all must end alike.
func (j job) try(t testing.TB, world int) (trainer.Result, error) {
	t.Helper()
	comms := []collective.Comm{solo.New(collective.Gen{})}
	if world > 1 {
		var err error
		if comms, err = shm.NewHeapGroup(world, shm.Options{Spin: -1}); err != nil {
			t.Fatal(err)
		}
	}
	results, errs := make([]trainer.Result, len(comms)), make([]error, len(comms))
	var wg sync.WaitGroup
	for i, c := range comms {
		cfg := j.open(t, c)
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

func (j job) run(t testing.TB, world int) trainer.Result {
	t.Helper()
	r, err := j.try(t, world)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// probe is a method that only looks.
type probe func(e trainer.Event, r *trainer.Run) error

func (probe) Name() string                               { return "probe" }
func (p probe) On(e trainer.Event, r *trainer.Run) error { return p(e, r) }
func (probe) Save() (json.RawMessage, error)             { return nil, nil }
func (probe) Load(json.RawMessage) error                 { return nil }

func values(t testing.TB, r *trainer.Run, x *kernels.Tensor) []float32 {
	t.Helper()
	v, err := read(r.Device(), x)
	if err != nil {
		t.Error(err)
	}
	return v
}
