package sparsify

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

// job is a run on the embedded digits. Its epochs have 29 steps of 128.
type job struct {
	model    models.Spec
	sparsify Config
	steps    uint64
	batch    int
	optim    optim.Config
	samples  int // of an epoch of the plan; 0 means those of the data
	onTicket func(*Ticket) error
	edit     func(*trainer.Config)
	probe    probe // behind the method
}

// digits is a search of two rounds of three short epochs and a ticket phase.
func digits(model models.Spec) job {
	sgd := optim.Defaults(optim.SGD)
	sgd.LR, sgd.Nesterov, sgd.WeightDecay = 0.05, true, 1e-4
	c := Defaults()
	c.Rounds, c.Epochs, c.Rewind, c.Penalty = 2, 3, 1, 1e-4
	return job{model: model, sparsify: c, steps: 36, batch: 64, samples: 4 * 64, optim: sgd}
}

func (j job) config(t testing.TB, comm collective.Comm) (trainer.Config, *Method) {
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
	if j.samples == 0 {
		j.samples = train.Samples()
	}
	p, err := NewPlan(j.sparsify, timeline, j.samples)
	if err != nil {
		t.Fatal(err)
	}
	m := New(p)
	m.OnTicket = j.onTicket
	cfg := trainer.Config{Model: j.model, Seed: 1, Shards: 4, Timeline: timeline, Restarts: p.Restarts(),
		Optim: j.optim, Schedule: optim.Schedule{Decay: optim.Cosine}, Methods: []trainer.Method{m},
		Train: train, Test: test, Device: dev, Comm: comm}
	if j.probe != nil {
		cfg.Methods = append(cfg.Methods, j.probe)
	}
	if j.edit != nil {
		j.edit(&cfg)
	}
	return cfg, m
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

func values(t testing.TB, r *trainer.Run, x *kernels.Tensor) []float32 {
	t.Helper()
	v, err := read(r.Device(), x)
	if err != nil {
		t.Error(err)
	}
	return v
}

// params reads parameters and running statistics that are not sparsify's.
func params(t testing.TB, r *trainer.Run) map[string][]float32 {
	all := map[string][]float32{}
	for _, p := range ordinary(r.Graph()) {
		all[p.Name] = values(t, r, p.W)
	}
	return all
}

func find(r *trainer.Run, name string) *graph.Param {
	for _, p := range r.Graph().Params() {
		if p.Name == name {
			return p
		}
	}
	return nil
}
