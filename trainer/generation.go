package trainer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/espalier-ml/espalier/collective"
	"github.com/espalier-ml/espalier/trainer/metrics"
)

// A run lives across communicators. Between two generations it is nothing but
// its committed state in memory (held); within one it has a network, gradients
// in the transport's memory, and a loader of its share of the rows:
//
//	for {
//		form        wait for a communicator
//		align       who holds what; those behind fetch the state
//		assemble    build the network and load the state into it
//		loop        steps
//		hold        keep the state as it was committed last
//	}
//
// An operation that fails because the communicator is gone ends the generation
// at once, wherever it was called. What was done since the last commit is
// forgotten and done again: a step changes nothing before its gradients and
// its control word are summed, a boundary that may change something is
// preceded by a copy (see Planner), evaluation changes nothing at all.

// errDrained ends a generation in good order: all ranks form anew.
var errDrained = errors.New("drained")

// lost tells a communicator that is gone from everything else that fails.
func lost(err error) bool {
	for _, e := range []error{collective.ErrAborted, collective.ErrClosed, collective.ErrDeadline, collective.ErrDesync} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// live runs generations until the run has ended for this rank.
func (r *Run) live(ctx context.Context) error {
	var broken error
	for {
		began := time.Now()
		comm, err := r.cfg.Group.Form(ctx, broken)
		if err != nil {
			return err
		}
		err = r.generation(ctx, comm, formation{broken, time.Since(began)})
		switch {
		case errors.Is(err, errDrained):
			broken = nil
		case lost(err):
			broken = err
			r.log.Warn("communicator lost", zap.Uint64("step", r.Step), zap.Error(err))
		default:
			return err
		}
	}
}

// formation is how a generation came about.
type formation struct {
	broken error // what ended the one before
	took   time.Duration
}

// generation runs on one communicator until that breaks, is drained, or the
// run ends. It gives the communicator back.
func (r *Run) generation(ctx context.Context, comm collective.Comm, f formation) error {
	r.join(comm)
	err := r.align(ctx)
	if err == nil {
		err = r.assemble(ctx, f)
	}
	if err == nil {
		err = r.loop(ctx)
	}
	if lost(err) && r.net != nil && r.Step == r.cfg.steps() {
		// Behind the last step nobody is needed: what is left is to measure.
		r.comm = nil
		err = r.loop(ctx)
	}
	if errors.Is(err, errDrained) || lost(err) {
		if e := r.hold(); e != nil {
			err = e
		}
	}
	r.leave(comm, err)
	return err
}

// join makes this rank a member of a generation.
func (r *Run) join(comm collective.Comm) {
	r.comm, r.info = comm, comm.Info()
	r.control = newControl(comm, r.cfg.Shards)
	r.lead = r.info.Rank == 0
	if r.cfg.Leads != nil {
		r.lead = r.cfg.Leads(r.info)
	}
	r.log = r.cfg.Log.With(zap.Uint64("gen", r.info.Gen.N), zap.Int("rank", int(r.info.Rank)))
}

// assemble builds what a generation works with.
func (r *Run) assemble(ctx context.Context, f formation) error {
	if r.cfg.Shards < r.info.World {
		return fmt.Errorf("%d workers cannot share %d shards: want at most one worker a shard", r.info.World, r.cfg.Shards)
	}
	began, found := time.Now(), r.held != nil
	if err := r.build(ctx); err != nil {
		return err
	}
	if err := r.openSaver(); err != nil {
		return err
	}
	if err := r.openLoader(); err != nil {
		return err
	}
	if r.since.IsZero() {
		r.since = time.Now()
		r.announce(found)
	} else {
		r.reformed(f, time.Since(began))
	}
	r.entered()
	r.stepStarted, r.window = time.Now(), window{}
	return nil
}

// build makes the network of the state that is held, or a new one.
func (r *Run) build(ctx context.Context) error {
	if r.held != nil {
		if err := r.restore(ctx, r.held); err != nil {
			return fmt.Errorf("resume from step %d: %w", r.held.State.Meta.Step, err)
		}
		r.undo.memory, r.held = r.held.Bytes, nil
		return nil
	}
	n, err := newNetwork(ctx, &r.cfg, r.comm, r.cfg.Sizes.Clone(), r.cfg.batch(0), r.Births)
	if err != nil {
		return err
	}
	r.net = n
	return n.initialize()
}

// reformed reports that the run goes on in another generation.
func (r *Run) reformed(f formation, took time.Duration) {
	why := "as asked for"
	if f.broken != nil {
		why = f.broken.Error()
	}
	r.log.Info("training goes on", zap.Int("world", r.info.World), zap.Uint64("step", r.Step),
		zap.Duration("formed", f.took), zap.Duration("took", took))
	r.report(&metrics.Event{Step: int64(r.Step), Seconds: metrics.Number(r.seconds()), Event: metrics.EventReform,
		Text:   fmt.Sprintf("generation %d: %d workers from step %d on, formed anew %s", r.info.Gen.N, r.info.World, r.Step, why),
		Params: int64(r.net.graph.ParamCount()), Batch: r.net.batch, TookMS: metrics.Number((f.took + took).Seconds() * 1e3)})
}

// leave gives back what belongs to a generation. Where the run ends here by a
// fault of this rank's own, the others learn it at once.
func (r *Run) leave(comm collective.Comm, err error) {
	defer r.regroup.Store(false) // what was asked until now is done
	r.disassemble()
	if r.once() {
		return // the communicator's owner knows what it is for
	}
	if err != nil && !errors.Is(err, errDrained) && !errors.Is(err, ErrDiverged) {
		comm.Abort(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), r.cfg.Patience)
	defer cancel()
	if err := comm.Close(ctx); err != nil && !lost(err) {
		r.log.Warn("communicator did not close in good order", zap.Error(err))
	}
}

// disassemble ends loader and network; what is left is what is held.
func (r *Run) disassemble() {
	if r.loader != nil {
		r.loader.Close()
		r.loader = nil
	}
	if r.net != nil && r.held != nil {
		r.net.close()
		r.net = nil
	}
}
