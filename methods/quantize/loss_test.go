package quantize

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/espalier-ml/espalier/collective"
	"github.com/espalier-ml/espalier/collective/solo"
	"github.com/espalier-ml/espalier/trainer"
)

// survivor goes on alone when its group breaks.
type survivor struct{ first collective.Comm }

func (s *survivor) Form(context.Context, error) (collective.Comm, error) {
	if c := s.first; c != nil {
		s.first = nil
		return c, nil
	}
	return solo.New(collective.Gen{}), nil
}

var errDies = errors.New("the rank dies here")

// A rank that dies in any phase, before a step or in its middle, changes
// nothing: the other one ends with the bits of an undisturbed run.
func TestALostRankChangesNothing(t *testing.T) {
	for _, c := range compositions[:3] {
		t.Run(c.name, func(t *testing.T) {
			j := digits(smallMLP)
			j.steps, j.config.Start, j.config.Epochs, j.config.Rate = 28, c.start, c.epochs, 0.5
			j.edit = func(cfg *trainer.Config, _ *Method) { c.edit(t, cfg) }
			want := j.run(t)
			for _, at := range some(c.stops) {
				for _, e := range []trainer.Event{trainer.Boundary, trainer.Reduced} {
					if got := j.withLoss(t, at, e); got.Digest != want.Digest || got.Eval.Loss != want.Eval.Loss {
						t.Errorf("lost at %v of step %d: digest %v, undisturbed %v", e, at, got.Digest, want.Digest)
					}
				}
			}
		})
	}
}

// withLoss runs on two ranks of which the second dies at an event of a step.
func (j job) withLoss(t *testing.T, step uint64, event trainer.Event) (got trainer.Result) {
	t.Helper()
	comms := group(t, 2)
	var errs [2]error
	var wg sync.WaitGroup
	for i, comm := range comms {
		k := j
		k.probe = func(e trainer.Event, r *trainer.Run) error {
			if i == 1 && e == event && r.Step == step {
				return errDies
			}
			return nil
		}
		cfg, _ := k.open(t, comm)
		if i == 0 {
			cfg.Comm, cfg.Group = nil, &survivor{first: comm}
		}
		wg.Go(func() {
			res, err := trainer.Train(context.Background(), cfg, nil)
			if errs[i] = err; i == 0 {
				got = res
				return
			}
			comm.Abort(err)
			comm.Close(context.Background())
		})
	}
	wg.Wait()
	if errs[0] != nil || !errors.Is(errs[1], errDies) {
		t.Fatalf("step %d: the survivor ends with %v, the other rank with %v", step, errs[0], errs[1])
	}
	return got
}
