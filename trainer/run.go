package trainer

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/espalier-ml/espalier/kernels"
	"github.com/espalier-ml/espalier/trainer/checkpoint"
	"github.com/espalier-ml/espalier/trainer/data"
	"github.com/espalier-ml/espalier/trainer/graph"
	"github.com/espalier-ml/espalier/trainer/metrics"
	"github.com/espalier-ml/espalier/trainer/models"
	"github.com/espalier-ml/espalier/trainer/optim"
)

// Run is a training run in progress. Methods may use it during events; it is
// not safe for concurrent use apart from RequestStop and RequestRegroup.
type Run struct {
	// Step is the number of committed steps.
	Step uint64
	// Births are the steps at which growth stages began; Births[0] is 0.
	Births []uint64

	cfg      Config
	net      *network
	loader   *data.Loader
	control  *control
	saver    *checkpoint.Saver
	log      *zap.Logger
	proposed *Mutation
	stop     atomic.Bool
	regroup  atomic.Bool

	flops       float64       // of training so far
	before      time.Duration // training time of earlier attempts
	since       time.Time
	env         kernels.Env
	window      window
	stepStarted time.Time
	fixed       float64 // FLOPs of a sample at full size, forward and backward
	last        *metrics.Eval
	measures    map[string]metrics.Number
}

// Result is what a finished or stopped run has reached.
type Result struct {
	Done          bool // all steps are committed
	Step, Samples uint64
	Eval          metrics.Eval
	Params        int
	Flops         float64
	FixedFlops    float64 // of training the full-size network on the same samples
	Seconds       float64
	Digest        checkpoint.Sum
}

// ErrDiverged is wrapped when the loss of a step is not a number.
var ErrDiverged = errors.New("training diverged")

// Train runs a configuration to its end, or until RequestStop was called on
// any rank or ctx ends. It resumes from the newest complete checkpoint in
// cfg.Dir. started, when not nil, receives the Run before the first step.
func Train(ctx context.Context, cfg Config, started func(*Run)) (Result, error) {
	setDefaults(&cfg)
	if err := cfg.Validate(); err != nil {
		return Result{}, err
	}
	r := &Run{cfg: cfg, log: cfg.Log, Births: []uint64{0}, env: kernels.Env{Seed: cfg.Seed}}
	defer r.close()
	if err := r.open(ctx); err != nil {
		return Result{}, err
	}
	if started != nil {
		started(r)
	}
	if err := r.loop(ctx); err != nil {
		return Result{}, fmt.Errorf("step %d: %w", r.Step, err)
	}
	return r.finish(ctx)
}

func setDefaults(c *Config) {
	if c.Log == nil {
		c.Log = zap.NewNop()
	}
	if c.EvalRows == 0 {
		c.EvalRows = 128
	}
	if c.BucketBytes == 0 {
		c.BucketBytes = 1 << 20
	}
	if c.LogEvery == 0 {
		c.LogEvery = 50
	}
	if c.KeepCheckpoints == 0 {
		c.KeepCheckpoints = 2
	}
	if c.Patience == 0 {
		c.Patience = 10 * time.Second
	}
	if c.Report == nil || c.Comm.Info().Rank != 0 {
		c.Report = func(metrics.Record) {}
	}
}

// open builds the network, restores a checkpoint if there is one, and starts
// the loader.
func (r *Run) open(ctx context.Context) error {
	full, err := models.Trace(r.cfg.Model, graph.Config{Train: true}, 1)
	if err != nil {
		return err
	}
	r.fixed = float64(full.Flops())
	r.control = newControl(r.cfg.Comm, r.cfg.Shards)
	state, found, err := r.newestCheckpoint()
	if err != nil {
		return err
	}
	if found {
		if err := r.restore(ctx, state); err != nil {
			return fmt.Errorf("resume from step %d: %w", state.Meta.Step, err)
		}
	} else {
		if r.net, err = newNetwork(ctx, &r.cfg, r.cfg.Sizes.Clone(), r.cfg.batch(0), r.Births); err != nil {
			return err
		}
		if err := r.net.initialize(); err != nil {
			return err
		}
	}
	if err := r.openSaver(); err != nil {
		return err
	}
	r.since, r.stepStarted = time.Now(), time.Now()
	r.announce(full.ParamCount(), found)
	return r.openLoader()
}

// openLoader prefetches this rank's rows of every step from the current on.
func (r *Run) openLoader() error {
	info := r.cfg.Comm.Info()
	first, steps := r.Step, r.cfg.steps()
	var err error
	r.loader, err = data.NewLoader(r.cfg.Train, data.LoaderConfig{MaxRows: r.cfg.maxBatch() / info.World},
		func(i int) (data.Request, bool) {
			s := first + uint64(i)
			if s >= steps {
				return data.Request{}, false
			}
			all := data.Request{Cursor: r.cfg.cursor(s), N: r.cfg.batch(s)}
			return all.Part(int(info.Rank), int(info.Rank)+1, info.World), true
		})
	return err
}

func (r *Run) loop(ctx context.Context) error {
	for r.Step < r.cfg.steps() {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		if err := r.boundary(ctx); err != nil {
			return err
		}
		stop, err := r.step(ctx)
		if err != nil {
			return err
		}
		if err := r.emit(Stepped); err != nil {
			return err
		}
		if err := r.atStep(ctx, stop); err != nil {
			return err
		}
		if stop {
			return nil
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

// Propose asks for a mutation; it is made when the method's On returns.
func (r *Run) Propose(m *Mutation) { r.proposed = m }

// Note records something that a method did without changing a shape.
func (r *Run) Note(event, text string) {
	r.cfg.Report(&metrics.Event{Step: int64(r.Step), Seconds: metrics.Number(r.seconds()), Event: event, Text: text,
		Params: int64(r.net.graph.ParamCount()), Batch: r.net.batch})
}

// Measure keeps a figure about the network, such as the share of weights that
// a method has kept, for the record of the run's end. The last value counts.
func (r *Run) Measure(name string, value float64) {
	if r.measures == nil {
		r.measures = map[string]metrics.Number{}
	}
	r.measures[name] = metrics.Number(value)
}

// Graph is the network as it is traced now.
func (r *Run) Graph() *graph.Graph { return r.net.graph }

// Sizes are the widths now. They must not be changed.
func (r *Run) Sizes() graph.Sizes { return r.net.sizes }

// Steps is the length of the run, Batch the global batch of the next step.
func (r *Run) Steps() uint64 { return r.cfg.steps() }

// Restarts are the steps at which the schedule of the rate begins anew.
func (r *Run) Restarts() []uint64 { return r.cfg.Restarts }

// Samples is the number of samples consumed by committed steps.
func (r *Run) Samples() uint64 { return r.cfg.cursor(r.Step) }

// Seed is the run's seed.
func (r *Run) Seed() uint64 { return r.cfg.Seed }

// Optim is the optimizer; methods set Factor of its entries at Rates.
func (r *Run) Optim() *optim.State { return r.net.opt }

// Env is the environment of the step, for kernels that methods run.
func (r *Run) Env() *kernels.Env { return &r.env }

// Device is where the run computes.
func (r *Run) Device() kernels.Device { return r.cfg.Device }

// RequestStop asks all ranks to save and stop after the step in flight. It
// may be called from any goroutine, such as a signal handler.
func (r *Run) RequestStop() { r.stop.Store(true) }

// RequestRegroup asks all ranks to give their communicator back at the next
// step boundary and to form anew: see Group. It may be called from any
// goroutine; a request made while this rank is in Form is for the generation
// that Form returns.
func (r *Run) RequestRegroup() { r.regroup.Store(true) }

func (r *Run) seconds() float64 { return (r.before + time.Since(r.since)).Seconds() }

func (r *Run) close() {
	ctx, cancel := context.WithTimeout(context.Background(), r.cfg.Patience)
	defer cancel()
	if r.loader != nil {
		r.loader.Close()
	}
	if r.saver != nil {
		r.saver.Close()
	}
	if r.net != nil {
		r.net.close(ctx)
	}
}
