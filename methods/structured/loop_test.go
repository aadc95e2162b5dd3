package structured

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/espalier-ml/espalier/collective"
	"github.com/espalier-ml/espalier/collective/shm"
	"github.com/espalier-ml/espalier/collective/solo"
	"github.com/espalier-ml/espalier/kernels"
	"github.com/espalier-ml/espalier/kernels/cpu"
	"github.com/espalier-ml/espalier/trainer"
	"github.com/espalier-ml/espalier/trainer/data"
	"github.com/espalier-ml/espalier/trainer/models"
	"github.com/espalier-ml/espalier/trainer/optim"
)

// job is a short run on the embedded digits, or on made-up text.
type job struct {
	model models.Spec
	c     Config
	steps uint64
	batch int
	optim optim.Config
	dir   string
	edit  func(*trainer.Config)
	probe probe // behind the method
}

// digits is a search with a query every four of 48 steps.
func digits(model models.Spec) job {
	sgd := optim.Defaults(optim.SGD)
	sgd.LR, sgd.WeightDecay = 0.05, 1e-4
	c := Defaults()
	c.Period, c.Every, c.Budget, c.Rate = 4*32/3823.0, 2, 0.4, 0.5
	return job{model: model, c: c, steps: 48, batch: 32, optim: sgd}
}

func (j job) config(t testing.TB, comm collective.Comm) (trainer.Config, *Method) {
	t.Helper()
	cfg := trainer.Config{Seed: 1, Shards: 4, Timeline: []trainer.Phase{{Steps: j.steps, Batch: j.batch}},
		Optim: j.optim, Schedule: optim.Schedule{Decay: optim.Cosine}, Dir: j.dir, Comm: comm}
	samples := 3823
	if j.model.Sequence() {
		text, err := data.NewChars("text", strings.Repeat("the quick brown fox jumps over the lazy dog. ", 400))
		if err != nil {
			t.Fatal(err)
		}
		set := &data.Dataset{Name: "text", Text: text}
		j.open(t, set, &cfg, data.Options{Seed: 1, Window: j.model.Context})
		j.model.Vocab = cfg.Train.Row().Classes
		samples = cfg.Train.Samples()
		j.c.Period = 4 * float64(j.batch) / float64(samples)
	} else {
		set, err := data.Open("optdigits", "")
		if err != nil {
			t.Fatal(err)
		}
		j.open(t, set, &cfg, data.Options{Seed: 1})
		j.model.Height, j.model.Width, j.model.Channels, j.model.Classes = 8, 8, 1, 10
	}
	cfg.Model = j.model
	dev, err := cpu.New(cpu.Options{Threads: 1, Spin: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dev.Close() })
	cfg.Device = dev
	p, err := NewPlan(j.c, j.model, cfg.Timeline, samples)
	if err != nil {
		t.Fatal(err)
	}
	m := New(p)
	cfg.Sizes, cfg.Methods = p.Initial(), []trainer.Method{m}
	if j.probe != nil {
		cfg.Methods = append(cfg.Methods, j.probe)
	}
	if j.edit != nil {
		j.edit(&cfg)
	}
	return cfg, m
}

func (j job) open(t testing.TB, set *data.Dataset, cfg *trainer.Config, o data.Options) {
	t.Helper()
	var err error
	if cfg.Train, err = set.Training(o); err != nil {
		t.Fatal(err)
	}
	if cfg.Test, err = set.Evaluation(o); err != nil {
		t.Fatal(err)
	}
}

// try trains on every rank of comms at once.
func (j job) try(t testing.TB, comms ...collective.Comm) ([]trainer.Result, error) {
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
	return results, errors.Join(errs...)
}

// run is a try that succeeds, with all ranks ending alike.
func (j job) run(t testing.TB, comms ...collective.Comm) trainer.Result {
	t.Helper()
	results, err := j.try(t, comms...)
	if err != nil {
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

// stopAt ends a run after so many steps.
func stopAt(step uint64) probe {
	return func(e trainer.Event, r *trainer.Run) error {
		if e == trainer.Boundary && r.Step+1 == step {
			r.RequestStop()
		}
		return nil
	}
}

func read(t testing.TB, dev kernels.Device, x *kernels.Tensor) []float32 {
	t.Helper()
	v := make([]float32, x.Len())
	if err := dev.ReadF32(x, v); err != nil {
		t.Fatal(err)
	}
	return v
}
