package config

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/espalier-ml/espalier/collective"
	"github.com/espalier-ml/espalier/collective/shm"
	"github.com/espalier-ml/espalier/collective/solo"
	"github.com/espalier-ml/espalier/kernels/cpu"
	"github.com/espalier-ml/espalier/trainer"
	"github.com/espalier-ml/espalier/trainer/data"
)

// methodParts are method groups of jobs of three units of time: growth ends
// with the first, thinning with the second.
func methodParts(unit float64) map[string]string {
	return map[string]string{
		"grow":       fmt.Sprintf("grow: {multipliers: [0.5, 0.75, 1], epochs: [%v, %v, %v]}", unit/2, unit/2, 2*unit),
		"share":      "share: {recurrence: 0.01}",
		"structured": fmt.Sprintf("structured: {seed: 0, start: %v, budget: 0.5, period: %v, every: 2, rate: 0.5, ramp: 0.2, harden: 0.3, final: 0.4}", unit, unit/6),
		"sparsify":   fmt.Sprintf("sparsify: {goal: prune, rounds: 2, rise: step, start: %v, epochs: %v, s0: -0.02}", unit, unit/2),
		"ticket":     fmt.Sprintf("sparsify: {goal: ticket, rounds: 1, rise: step, start: %v, epochs: %v, rewind: %v}", unit, 0.75*unit, unit/4),
		"joint":      fmt.Sprintf("joint: {start: %v, epochs: %v, price: 0.1, group: 4, gate_rate: 0.05}", unit, unit),
		"quantize":   fmt.Sprintf("quantize: {start: %v, epochs: %v, price: 1, group: 4}", 2*unit, unit/2),
	}
}

const (
	composeMLP   = "model: {name: mlp, hidden: [16, 12], norm: true}"
	composeShare = "model: {name: swrn-16-1-1}"
)

// Every pair of methods, and all together, in one job: it trains, to the same
// bits on 1, 2 and 4 ranks, goes on from any phase when it was stopped there,
// and survives the loss of a rank in any phase.
func TestMethodsCompose(t *testing.T) {
	for _, c := range []struct {
		model string
		parts []string
	}{
		{composeMLP, []string{"grow"}},
		{composeMLP, []string{"grow", "sparsify"}},
		{composeMLP, []string{"grow", "ticket"}},
		{composeMLP, []string{"grow", "quantize"}},
		{composeMLP, []string{"sparsify", "quantize"}},
		{composeMLP, []string{"ticket", "quantize"}},
		{composeMLP, []string{"grow", "sparsify", "quantize"}},
		{composeMLP, []string{"joint"}},
		{composeMLP, []string{"grow", "joint"}},
		{composeMLP, []string{"grow", "structured"}},
		{composeMLP, []string{"structured", "quantize"}},
		{composeShare, []string{"share", "grow"}},
		{composeShare, []string{"share", "grow", "joint"}},
		{composeShare, []string{"share", "grow", "sparsify", "quantize"}},
	} {
		t.Run(strings.Join(c.parts, "+"), func(t *testing.T) {
			unit := 0.5 // of an epoch: 15 steps
			if c.model == composeShare {
				unit = 0.25
			}
			text := fmt.Sprintf("%s\ntrain: {epochs: %v, batch: 128}\noptim: {lr: 0.05}\n", c.model, 3*unit)
			for _, p := range c.parts {
				text += methodParts(unit)[p] + "\n"
			}
			if c.model == composeShare && testing.Short() {
				t.Skip("a convolutional network is slow under the race detector")
			}
			j := composed{text}
			want := j.alone(t, "", nil)
			if !want.Done {
				t.Fatalf("ended at step %d", want.Step)
			}
			for _, world := range []int{2, 4} {
				j.equal(t, fmt.Sprintf("%d ranks", world), want, j.ranks(t, world))
			}
			for _, share := range []float64{0.1, 0.28, 0.45, 0.6, 0.72, 0.9} {
				at := uint64(share * float64(want.Step))
				dir := t.TempDir()
				if got := j.alone(t, dir, &interrupt{at: at, stop: true}); got.Step != at {
					t.Fatalf("stopped at step %d, want %d", got.Step, at)
				}
				j.equal(t, fmt.Sprintf("stopped at step %d", at), want, j.alone(t, dir, nil))
				j.equal(t, fmt.Sprintf("a rank lost at step %d", at), want, j.survivor(t, at))
			}
		})
	}
}

// composed is a job whose runs are compared.
type composed struct{ text string }

func (j composed) equal(t *testing.T, what string, want, got trainer.Result) {
	t.Helper()
	if got.Digest != want.Digest || got.Eval.Loss != want.Eval.Loss {
		t.Errorf("%s: digest %v and loss %v, want %v and %v", what, got.Digest, got.Eval.Loss, want.Digest, want.Eval.Loss)
	}
}

// config is the run's configuration on the embedded digits.
func (j composed) config(t *testing.T, in *interrupt) trainer.Config {
	t.Helper()
	set, err := data.Open("optdigits", "")
	if err != nil {
		t.Fatal(err)
	}
	c, err := mustParse(t, j.text).Fit(set, 1)
	if err != nil {
		t.Fatal(err)
	}
	dev, err := cpu.New(cpu.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dev.Close() })
	c.Device = dev
	if in == nil {
		in = &interrupt{}
	}
	c.Methods = append(c.Methods, in)
	return c
}

func (j composed) alone(t *testing.T, dir string, in *interrupt) trainer.Result {
	t.Helper()
	c := j.config(t, in)
	c.Dir, c.Comm = dir, solo.New(collective.Gen{})
	res, err := trainer.Train(context.Background(), c, nil)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// ranks trains on several ranks of this process.
func (j composed) ranks(t *testing.T, world int) trainer.Result {
	t.Helper()
	comms, err := shm.NewHeapGroup(world, shm.Options{Spin: -1})
	if err != nil {
		t.Fatal(err)
	}
	results, errs := make([]trainer.Result, world), make([]error, world)
	var wg sync.WaitGroup
	for i, comm := range comms {
		c := j.config(t, nil)
		c.Comm = comm
		wg.Go(func() { results[i], errs[i] = trainer.Train(context.Background(), c, nil) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	return results[0]
}

var errKilled = errors.New("killed")

// survivor trains on two ranks of which the second dies at a step.
func (j composed) survivor(t *testing.T, at uint64) trainer.Result {
	t.Helper()
	comms, err := shm.NewHeapGroup(2, shm.Options{Spin: -1})
	if err != nil {
		t.Fatal(err)
	}
	stays, dies := j.config(t, nil), j.config(t, &interrupt{at: at})
	stays.Group, dies.Comm = &widowed{first: comms[0]}, comms[1]
	var res trainer.Result
	var errs [2]error
	var wg sync.WaitGroup
	wg.Go(func() { res, errs[0] = trainer.Train(context.Background(), stays, nil) })
	wg.Go(func() {
		_, errs[1] = trainer.Train(context.Background(), dies, nil)
		comms[1].Abort(errs[1]) // it is its owner's: see trainer.Fixed
	})
	wg.Wait()
	if errs[0] != nil || !errors.Is(errs[1], errKilled) {
		t.Fatalf("survivor: %v, the other: %v", errs[0], errs[1])
	}
	return res
}

// widowed is the group of a rank that is alone after its first generation.
type widowed struct{ first collective.Comm }

func (w *widowed) Form(_ context.Context, broken error) (collective.Comm, error) {
	if broken == nil {
		return w.first, nil
	}
	return solo.New(collective.Gen{N: 2}), nil
}

// interrupt stops a run or kills its rank: on even steps at the boundary, on
// odd ones when gradients are summed.
type interrupt struct {
	at   uint64
	stop bool
}

func (i *interrupt) Name() string { return "interrupt" }
func (i *interrupt) On(e trainer.Event, r *trainer.Run) error {
	switch {
	case i.at == 0:
	case i.stop:
		if e == trainer.Boundary && r.Step+1 == i.at {
			r.RequestStop()
		}
	case r.Step == i.at && (e == trainer.Boundary && i.at%2 == 0 || e == trainer.Reduced && i.at%2 == 1):
		return errKilled
	}
	return nil
}
func (i *interrupt) Save() (json.RawMessage, error) { return nil, nil }
func (i *interrupt) Load(json.RawMessage) error     { return nil }
