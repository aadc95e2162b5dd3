package trainer_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/espalier-ml/espalier/collective"
	"github.com/espalier-ml/espalier/collective/shm"
	"github.com/espalier-ml/espalier/collective/solo"
	"github.com/espalier-ml/espalier/kernels/cpu"
	"github.com/espalier-ml/espalier/trainer"
	"github.com/espalier-ml/espalier/trainer/data"
	"github.com/espalier-ml/espalier/trainer/graph"
	"github.com/espalier-ml/espalier/trainer/metrics"
	"github.com/espalier-ml/espalier/trainer/models"
	"github.com/espalier-ml/espalier/trainer/optim"
)

// digits is a configuration on the embedded data set, for one rank.
func digits(t testing.TB, model models.Spec, comm collective.Comm, threads int) trainer.Config {
	t.Helper()
	set, err := data.Open("optdigits", "")
	if err != nil {
		t.Fatal(err)
	}
	train, err := set.Training(data.Options{Seed: 1, Augment: data.Augment{Pad: 1}})
	if err != nil {
		t.Fatal(err)
	}
	test, err := set.Evaluation(data.Options{})
	if err != nil {
		t.Fatal(err)
	}
	dev, err := cpu.New(cpu.Options{Threads: threads, Spin: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dev.Close() })
	shape := train.Row().Shape
	model.Height, model.Width, model.Channels, model.Classes = shape[0], shape[1], shape[2], train.Row().Classes
	return trainer.Config{
		Model: model, Seed: 1, Shards: 4, Timeline: []trainer.Phase{{Steps: 12, Batch: 48}, {Steps: 18, Batch: 32}},
		Optim:    optim.Config{Kind: optim.SGD, LR: 0.05, Momentum: 0.9, WeightDecay: 5e-4},
		Schedule: optim.Schedule{Decay: optim.Cosine},
		Clip:     5, Train: train, Test: test, Device: dev, Comm: comm, EvalEvery: 10, SaveEvery: 7,
	}
}

var resnet8 = models.Spec{Name: "resnet-8", Base: 4}

// widen doubles every width at one step, with plain copies and zeros: enough
// of a growth event to test the loop.
type widen struct {
	at    uint64
	sizes graph.Sizes
	done  bool
}

func (w *widen) Name() string { return "widen" }

func (w *widen) On(e trainer.Event, r *trainer.Run) error {
	if e != trainer.Boundary || r.Step != w.at || w.done {
		return nil
	}
	w.done = true
	sizes := r.Sizes().Clone()
	for _, n := range sizes.Names() {
		sizes[n] = append(sizes[n], w.sizes[n][0])
	}
	r.Propose(&trainer.Mutation{Event: "grow", Text: "wider", Sizes: sizes, Born: true,
		Fill: func(old, now *graph.Param, from, to []float32) {
			now.Initial(r.Seed()+1, to)
			graph.Embed(old, now, func(i, j int) { to[j] = from[i] })
		}})
	return nil
}

func (w *widen) Save() (json.RawMessage, error) { return json.Marshal(w.done) }
func (w *widen) Load(b json.RawMessage) error   { return json.Unmarshal(b, &w.done) }

// growing makes a configuration start at half its widths and widen at a step
// where nothing else happens.
func growing(cfg *trainer.Config) {
	g, err := models.Trace(cfg.Model, graph.Config{}, 1)
	if err != nil {
		panic(err)
	}
	full := graph.Sizes{}
	cfg.Sizes = graph.Sizes{}
	for _, d := range g.Dims() {
		full[d.Name] = []int{d.Full}
		cfg.Sizes[d.Name] = []int{d.Full / 2}
	}
	cfg.Methods = []trainer.Method{&widen{at: 9, sizes: full}}
}

// run trains on every rank of comms at once and returns rank 0's result.
func run(t *testing.T, comms []collective.Comm, threads int, edit func(*trainer.Config)) trainer.Result {
	t.Helper()
	results := make([]trainer.Result, len(comms))
	errs := make([]error, len(comms))
	var wg sync.WaitGroup
	for i, c := range comms {
		cfg := digits(t, resnet8, c, threads)
		growing(&cfg)
		if edit != nil {
			edit(&cfg)
		}
		wg.Go(func() {
			results[i], errs[i] = trainer.Train(context.Background(), cfg, nil)
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

func alone() []collective.Comm { return []collective.Comm{solo.New(collective.Gen{})} }

// The promise: the same bits whatever the number of workers and threads,
// across a change of widths and of the batch.
func TestSameBitsForAnyWorldAndThreads(t *testing.T) {
	want := run(t, alone(), 1, nil)
	if want.Step != 30 || want.Samples != 12*48+18*32 || !want.Done {
		t.Fatalf("ended at step %d with %d samples", want.Step, want.Samples)
	}
	for _, c := range []struct{ world, threads int }{{1, 3}, {2, 1}, {4, 1}, {2, 2}} {
		t.Run(fmt.Sprintf("world %d threads %d", c.world, c.threads), func(t *testing.T) {
			comms, err := shm.NewHeapGroup(c.world, shm.Options{})
			if err != nil {
				t.Fatal(err)
			}
			got := run(t, comms, c.threads, nil)
			if got.Digest != want.Digest {
				t.Errorf("digest %v, one worker has %v", got.Digest, want.Digest)
			}
			if *got.Eval.Accuracy != *want.Eval.Accuracy || got.Eval.Loss != want.Eval.Loss {
				t.Errorf("evaluation %v, one worker has %v", got.Eval, want.Eval)
			}
		})
	}
}

// A run that is stopped after any of several steps, before, at and behind the
// change of widths, and goes on with another number of workers ends with the
// bits of the uninterrupted run.
func TestResumeIsExact(t *testing.T) {
	want := run(t, alone(), 1, nil)
	for _, at := range []uint64{1, 8, 9, 10, 12, 28} {
		t.Run(fmt.Sprint("stop after ", at), func(t *testing.T) {
			dir := t.TempDir()
			stopped := run(t, alone(), 1, func(c *trainer.Config) {
				c.Dir = dir
				c.Methods = append(c.Methods, stopAt(at))
			})
			if stopped.Done || stopped.Step != at+1 {
				t.Fatalf("stopped at step %d, done %v", stopped.Step, stopped.Done)
			}
			comms, err := shm.NewHeapGroup(2, shm.Options{})
			if err != nil {
				t.Fatal(err)
			}
			var records recorder
			got := run(t, comms, 1, func(c *trainer.Config) { c.Dir, c.Report = dir, records.add })
			if got.Digest != want.Digest || got.Flops != want.Flops {
				t.Errorf("digest %v after %v FLOPs, uninterrupted %v after %v", got.Digest, got.Flops, want.Digest, want.Flops)
			}
			if e, ok := records.list[0].(*metrics.Event); !ok || e.Event != metrics.EventResume || e.Step != int64(at)+1 {
				t.Errorf("first record is %+v, want the resume at step %d", records.list[0], at+1)
			}
		})
	}
}

// stopAt asks to stop when the given number of steps is committed; the step
// in flight is the last.
type stopAt uint64

func (s stopAt) Name() string { return "stop" }
func (s stopAt) On(e trainer.Event, r *trainer.Run) error {
	if e == trainer.Boundary && r.Step == uint64(s) {
		r.RequestStop()
	}
	return nil
}
func (s stopAt) Save() (json.RawMessage, error) { return nil, nil }
func (s stopAt) Load(json.RawMessage) error     { return nil }

type recorder struct{ list []metrics.Record }

func (r *recorder) add(x metrics.Record) { r.list = append(r.list, x) }

func TestOtherJobsCheckpointIsRefused(t *testing.T) {
	dir := t.TempDir()
	run(t, alone(), 1, func(c *trainer.Config) { c.Dir, c.Job, c.Timeline = dir, "aaaa", c.Timeline[:1] })
	cfg := digits(t, resnet8, alone()[0], 1)
	growing(&cfg)
	cfg.Dir, cfg.Job = dir, "bbbb"
	if _, err := trainer.Train(context.Background(), cfg, nil); err == nil {
		t.Error("a checkpoint of job aaaa was resumed by job bbbb")
	}
}

// Every optimizer, layers without norms, accumulation in one worker.
func TestOtherOptimizersLearn(t *testing.T) {
	for _, c := range []struct {
		name string
		edit func(*trainer.Config)
	}{
		{"sgd nesterov", func(c *trainer.Config) { c.Optim.Nesterov = true }},
		{"sgd plain", func(c *trainer.Config) { c.Optim.Momentum, c.Optim.LR = 0, 0.3 }},
		{"adam", func(c *trainer.Config) { c.Optim = optim.Defaults(optim.Adam); c.Optim.LR = 5e-3 }},
		{"adamw", func(c *trainer.Config) { c.Optim = optim.Defaults(optim.AdamW); c.Optim.LR = 5e-3 }},
		{"csgd", func(c *trainer.Config) { c.Optim = optim.Defaults(optim.CSGD); c.Optim.LR = 0.3 }},
		{"avagrad", func(c *trainer.Config) { c.Optim = optim.Defaults(optim.AvaGrad); c.Optim.LR = 0.3 }},
		{"avagradw paper", func(c *trainer.Config) { c.Optim = mode(optim.AvaGradW, optim.Paper); c.Optim.LR = 0.3 }},
		{"avagrad fresh", func(c *trainer.Config) { c.Optim = mode(optim.AvaGrad, optim.Fresh); c.Optim.LR = 0.3 }},
		{"delayed adam", func(c *trainer.Config) { c.Optim = optim.Defaults(optim.DelayedAdam) }},
		{"delayed adam paper", func(c *trainer.Config) { c.Optim = mode(optim.DelayedAdam, optim.Paper) }},
		{"adabound", func(c *trainer.Config) { c.Optim = optim.Defaults(optim.AdaBound); c.Optim.LR = 5e-3 }},
		{"adaboundw", func(c *trainer.Config) { c.Optim = optim.Defaults(optim.AdaBoundW); c.Optim.LR = 5e-3 }},
		{"amsbound", func(c *trainer.Config) {
			c.Optim = optim.Defaults(optim.AdaBound)
			c.Optim.LR, c.Optim.AMS = 5e-3, true
		}},
		{"adabound paper", func(c *trainer.Config) { c.Optim = mode(optim.AdaBound, optim.Paper); c.Optim.LR = 0.02 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			var rec recorder
			cfg := digits(t, models.Spec{Name: "mlp", Hidden: []int{64}}, alone()[0], 1)
			cfg.Timeline = []trainer.Phase{{Steps: 150, Batch: 64}}
			c.edit(&cfg)
			cfg.Report = rec.add
			res, err := trainer.Train(context.Background(), cfg, nil)
			if err != nil {
				t.Fatal(err)
			}
			if a := float64(*res.Eval.Accuracy); a < 0.8 {
				t.Errorf("accuracy %.3f after 150 steps", a)
			}
			if res.Eval.Count != 1797 {
				t.Errorf("evaluated %d of 1797 rows", res.Eval.Count)
			}
		})
	}
}

// mode is an optimizer's defaults in another of its modes.
func mode(k optim.Kind, m optim.Mode) optim.Config {
	c := optim.Defaults(k)
	c.Mode = m
	return c
}

func TestDivergenceIsAnError(t *testing.T) {
	cfg := digits(t, models.Spec{Name: "mlp", Hidden: []int{64, 64}}, alone()[0], 1)
	cfg.Clip, cfg.Optim.LR = 0, 1e20
	if _, err := trainer.Train(context.Background(), cfg, nil); !errors.Is(err, trainer.ErrDiverged) {
		t.Errorf("error %v, want ErrDiverged", err)
	}
}

func TestWrongConfigurationsAreNamed(t *testing.T) {
	for _, c := range []struct {
		name string
		edit func(*trainer.Config)
	}{
		{"shards no power of two", func(c *trainer.Config) { c.Shards = 3 }},
		{"batch no multiple of shards", func(c *trainer.Config) { c.Timeline[0].Batch = 50 }},
		{"no steps", func(c *trainer.Config) { c.Timeline = nil }},
		{"optimizer", func(c *trainer.Config) { c.Optim.Momentum = 2 }},
		{"schedule", func(c *trainer.Config) { c.Schedule.Decay = "slowly" }},
		{"model", func(c *trainer.Config) { c.Model.Name = "resnet-9" }},
		{"unknown dim", func(c *trainer.Config) { c.Sizes = graph.Sizes{"nowhere": {4}} }},
		{"dim beyond its full size", func(c *trainer.Config) { c.Sizes = graph.Sizes{"stage1": {400}} }},
	} {
		cfg := digits(t, resnet8, alone()[0], 1)
		c.edit(&cfg)
		if _, err := trainer.Train(context.Background(), cfg, nil); err == nil {
			t.Errorf("%s: accepted", c.name)
		}
	}
}

func TestStepsDoNotAllocate(t *testing.T) {
	for _, edit := range []func(*trainer.Config){
		func(*trainer.Config) {},
		func(c *trainer.Config) { c.Optim = optim.Defaults(optim.AvaGrad) },
		func(c *trainer.Config) { c.Optim = mode(optim.AvaGrad, optim.Fresh) },
		func(c *trainer.Config) { c.Optim = optim.Defaults(optim.AdaBound) },
	} {
		cfg := digits(t, resnet8, alone()[0], 1)
		cfg.Timeline = []trainer.Phase{{Steps: 200, Batch: 32}}
		cfg.EvalEvery, cfg.SaveEvery, cfg.LogEvery = 0, 0, 1000
		edit(&cfg)
		m := &mallocs{first: 50, last: 190}
		cfg.Methods = []trainer.Method{m}
		if _, err := trainer.Train(context.Background(), cfg, nil); err != nil {
			t.Fatal(err)
		}
		if m.perStep > 0.5 {
			t.Errorf("%s: %.2f heap allocations a step", cfg.Optim.Kind, m.perStep)
		}
	}
}
