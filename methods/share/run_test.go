package share

import (
	"context"
	"encoding/json"
	"sync"
	"testing"

	"github.com/espalier-ml/espalier/collective"
	"github.com/espalier-ml/espalier/collective/shm"
	"github.com/espalier-ml/espalier/collective/solo"
	"github.com/espalier-ml/espalier/kernels/cpu"
	"github.com/espalier-ml/espalier/methods/share/grid"
	"github.com/espalier-ml/espalier/trainer"
	"github.com/espalier-ml/espalier/trainer/data"
	"github.com/espalier-ml/espalier/trainer/graph"
	"github.com/espalier-ml/espalier/trainer/models"
	"github.com/espalier-ml/espalier/trainer/optim"
)

// similarities are those of all layers at the end of a run.
type probe struct {
	Method
	similarity float64
}

func (p *probe) On(e trainer.Event, r *trainer.Run) error {
	if err := p.Method.On(e, r); err != nil || e != trainer.Finished {
		return err
	}
	for _, c := range Coefficients(r.Graph()) {
		a, err := Rows(r.Device(), c)
		if err != nil {
			return err
		}
		sum, _ := Recurrence(a)
		p.similarity += sum
	}
	return nil
}

func digits(t testing.TB, comm collective.Comm, m trainer.Method, dir string) trainer.Config {
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
	return trainer.Config{Model: models.Spec{Name: "swrn-16-1-1", Height: row.Shape[0], Width: row.Shape[1], Channels: row.Shape[2], Classes: 10},
		Seed: 1, Shards: 4, Timeline: []trainer.Phase{{Steps: 6, Batch: 32}}, Optim: optim.Defaults(optim.SGD), Schedule: optim.Schedule{Decay: optim.Constant},
		Train: train, Test: test, Dir: dir, Job: "t", Comm: comm, Device: device(t), Methods: []trainer.Method{m}}
}

func device(t testing.TB) *cpu.Device {
	t.Helper()
	dev, err := cpu.New(cpu.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dev.Close() })
	return dev
}

func run(t *testing.T, world int, dir string, edit func(*trainer.Config)) trainer.Result {
	t.Helper()
	comms, err := shm.NewHeapGroup(world, shm.Options{Spin: -1})
	if err != nil {
		t.Fatal(err)
	}
	results, errs := make([]trainer.Result, world), make([]error, world)
	var wg sync.WaitGroup
	for i, c := range comms {
		m, err := New(0.01)
		if err != nil {
			t.Fatal(err)
		}
		cfg := digits(t, c, m, dir)
		if edit != nil {
			edit(&cfg)
		}
		wg.Go(func() {
			defer c.Close(context.Background())
			results[i], errs[i] = trainer.Train(context.Background(), cfg, nil)
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
	return results[0]
}

func TestSameBitsForAnyWorld(t *testing.T) {
	want := run(t, 1, "", nil)
	for _, world := range []int{2, 4} {
		if got := run(t, world, "", nil); got.Digest != want.Digest {
			t.Errorf("%d ranks end with %v, one with %v", world, got.Digest, want.Digest)
		}
	}
}

func TestResumeIsExact(t *testing.T) {
	want := run(t, 1, "", nil)
	dir := t.TempDir()
	stop := func(c *trainer.Config) { c.Methods = append(c.Methods, stopper{3}) }
	if got := run(t, 1, dir, stop); got.Step != 3 {
		t.Fatalf("stopped at step %d", got.Step)
	}
	if got := run(t, 2, dir, func(c *trainer.Config) { c.Methods = append(c.Methods, stopper{}) }); got.Digest != want.Digest {
		t.Errorf("resumed run ends with %v, uninterrupted %v", got.Digest, want.Digest)
	}
}

// stopper stops a run after some steps, 0 for never.
type stopper struct{ after uint64 }

func (s stopper) Name() string { return "stopper" }
func (s stopper) On(e trainer.Event, r *trainer.Run) error {
	if e == trainer.Boundary && r.Step+1 == s.after {
		r.RequestStop()
	}
	return nil
}
func (s stopper) Save() (json.RawMessage, error) { return nil, nil }
func (s stopper) Load(json.RawMessage) error     { return nil }

// The push makes layers alike, and coefficients do not decay.
func TestRecurrenceMakesLayersAlike(t *testing.T) {
	similarity := func(lambda float64) float64 {
		p := &probe{Method: Method{lambda}}
		cfg := digits(t, solo.New(collective.Gen{}), p, "")
		cfg.Model.Name, cfg.Timeline[0].Steps = "swrn-22-1-3", 12
		if _, err := trainer.Train(context.Background(), cfg, nil); err != nil {
			t.Fatal(err)
		}
		return p.similarity
	}
	if with, without := similarity(0.2), similarity(0); with < 1.2*without {
		t.Errorf("sum of similarities %v with the push, %v without", with, without)
	}
}

func TestMethodNeedsABank(t *testing.T) {
	m, err := New(1)
	if err != nil {
		t.Fatal(err)
	}
	cfg := digits(t, solo.New(collective.Gen{}), m, "")
	cfg.Model.Name = "resnet-8"
	if _, err := trainer.Train(context.Background(), cfg, nil); err == nil {
		t.Error("a network without a bank was trained with the push")
	}
	for _, lambda := range []float64{-1, 1e9} {
		if _, err := New(lambda); err == nil {
			t.Errorf("recurrence %v was accepted", lambda)
		}
	}
}

// A network that labels cells learns from grids, shared or not.
func TestGridNetworksTrain(t *testing.T) {
	for _, name := range []string{"gridnet-3", "sgridnet-3-2"} {
		set := grid.Set{Size: 8, Radius: 2, Density: 0.1, N: 64, Key: grid.Key(1, "train")}
		cfg := digits(t, solo.New(collective.Gen{}), &Method{}, "")
		cfg.Model = models.Spec{Name: name, Height: 8, Width: 8, Channels: 2, Classes: 2}
		cfg.Train = set
		set.Eval, set.N, set.Key = true, 33, grid.Key(1, "test")
		cfg.Test, cfg.EvalRows = set, 16
		cfg.Timeline = []trainer.Phase{{Steps: 30, Batch: 32}}
		cfg.Optim = optim.Defaults(optim.Adam)
		cfg.Optim.LR = 0.01
		res, err := trainer.Train(context.Background(), cfg, nil)
		if err != nil {
			t.Fatal(err)
		}
		if res.Eval.Count != 33*64 || float64(*res.Eval.Accuracy) < 0.9 {
			t.Errorf("%s: accuracy %v of %d cells", name, *res.Eval.Accuracy, res.Eval.Count)
		}
	}
}

// A bank with a template a layer, chosen one each, is a network without bank.
func TestOneTemplateALayerIsUnshared(t *testing.T) {
	spec := models.Spec{Name: "sgridnet-2-2", Height: 8, Width: 8, Channels: 2, Classes: 2}
	shared, err := models.Trace(spec, graph.Config{Train: true}, 2)
	if err != nil {
		t.Fatal(err)
	}
	spec.Name = "gridnet-2"
	plain, err := models.Trace(spec, graph.Config{Train: true}, 2)
	if err != nil {
		t.Fatal(err)
	}
	if a, b := shared.ParamCount(), plain.ParamCount()+4; a != b {
		t.Errorf("%d parameters, want those of the network without bank and 4 coefficients: %d", a, b)
	}
}
