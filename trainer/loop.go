package trainer

import (
	"context"
	"fmt"

	"github.com/espalier-ml/espalier/trainer/data"
)

// openLoader prefetches this rank's rows of every step from the current on.
func (r *Run) openLoader() error {
	lo, hi := r.shards()
	first, steps := r.Step, r.cfg.steps()
	var err error
	r.loader, err = data.NewLoader(r.cfg.Train, data.LoaderConfig{MaxRows: r.cfg.maxBatch() / r.cfg.Shards * (hi - lo)},
		func(i int) (data.Request, bool) {
			s := first + uint64(i)
			if s >= steps {
				return data.Request{}, false
			}
			all := data.Request{Cursor: r.cfg.cursor(s), N: r.cfg.batch(s)}
			return all.Part(lo, hi, r.cfg.Shards), true
		})
	return err
}

// loop runs steps until the run ends, or until ranks want to form anew.
func (r *Run) loop(ctx context.Context) error {
	if r.Step > 0 { // where the generation before may have ended early
		if err := r.atStep(ctx, false); err != nil {
			return err
		}
	}
	for r.Step < r.cfg.steps() {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		if err := r.boundary(ctx); err != nil {
			return err
		}
		asked, err := r.step(ctx)
		if err != nil {
			return err
		}
		if err := r.emit(Stepped); err != nil {
			return err
		}
		if err := r.atStep(ctx, asked.stop); err != nil {
			return err
		}
		switch {
		case asked.stop:
			return nil
		case asked.regroup && r.Step < r.cfg.steps():
			return errDrained
		}
	}
	return r.emit(Finished)
}

func (r *Run) emit(e Event) error {
	for _, m := range r.cfg.Methods {
		if err := m.On(e, r); err != nil {
			return fmt.Errorf("method %s at %v: %w", m.Name(), e, err)
		}
	}
	return nil
}

// boundary lets methods change the network and follows the timeline's batch.
func (r *Run) boundary(ctx context.Context) error {
	r.env.Step = r.Step
	if err := r.guard(); err != nil {
		return err
	}
	for _, m := range r.cfg.Methods {
		r.proposed = nil
		if err := m.On(Boundary, r); err != nil {
			return fmt.Errorf("method %s at boundary: %w", m.Name(), err)
		}
		if r.proposed != nil {
			if err := r.mutate(ctx, r.proposed); err != nil {
				return fmt.Errorf("method %s: %s: %w", m.Name(), r.proposed.Event, err)
			}
		}
	}
	if b := r.cfg.batch(r.Step); b != r.net.batch {
		return r.rebuild(ctx, r.net.sizes, r.Births, carry, carryState)
	}
	return nil
}
