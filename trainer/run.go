package trainer

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/espalier-ml/espalier/collective"
	"github.com/espalier-ml/espalier/kernels"
	"github.com/espalier-ml/espalier/trainer/checkpoint"
	"github.com/espalier-ml/espalier/trainer/data"
	"github.com/espalier-ml/espalier/trainer/graph"
	"github.com/espalier-ml/espalier/trainer/metrics"
	"github.com/espalier-ml/espalier/trainer/models"
	"github.com/espalier-ml/espalier/trainer/optim"
)

// Run is a training run in progress. Methods may use it during events; it is not
// safe for concurrent use apart from the Request methods and Progress.
type Run struct {
	// Step is the number of committed steps.
	Step uint64
	// Births are the steps at which growth stages began; Births[0] is 0.
	Births []uint64

	cfg      Config
	identity [32]byte // of all that the run is a function of
	largest  uint64   // bytes of a state

	// Of the generation.
	comm collective.Comm
	info collective.Info
	lead bool // reports and saves

	held     *held // the state while there is no network
	undo     undo
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
	full        int     // parameters at full size
	last        *metrics.Eval
	measures    map[string]metrics.Number
	reported    int64     // step of the evaluation reported last
	remembers   time.Time // when Memory gets the next copy
	saved       uint64    // 1 + the step of the last checkpoint that this rank made or began from

	progress progress
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
// any rank, ctx ends, or the group says that this rank leaves (ErrLeft; the
// Result says how far it came). It resumes from the newest state that any rank
// has, in memory or in cfg.Dir. started, when not nil, receives the Run before
// its first communicator is formed, for the sake of its Request methods and
// Progress.
func Train(ctx context.Context, cfg Config, started func(*Run)) (Result, error) {
	setDefaults(&cfg)
	if err := cfg.Validate(); err != nil {
		return Result{}, err
	}
	r := &Run{cfg: cfg, log: cfg.Log, Births: []uint64{0}, env: kernels.Env{Seed: cfg.Seed}}
	defer r.close()
	if err := r.prepare(); err != nil {
		return Result{}, err
	}
	if started != nil {
		started(r)
	}
	switch err := r.live(ctx); {
	case errors.Is(err, ErrLeft):
		if e := r.keep(ctx); e != nil {
			err = fmt.Errorf("save before leaving: %w", e)
		}
		return Result{Step: r.Step, Samples: r.Samples(), Flops: r.flops, Seconds: r.seconds()}, err
	case err != nil:
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
	if c.Group == nil && c.Comm != nil {
		c.Group = Fixed(c.Comm)
	}
}

// prepare looks at the network at full size and for a state to go on with.
func (r *Run) prepare() error {
	full, err := models.Trace(r.cfg.Model, graph.Config{Train: true}, 1)
	if err != nil {
		return err
	}
	r.fixed, r.full = float64(full.Flops()), full.ParamCount()
	if err := r.identify(full); err != nil {
		return err
	}
	r.held, err = r.newest()
	return err
}

// Propose asks for a mutation; it is made when the method's On returns.
func (r *Run) Propose(m *Mutation) { r.proposed = m }

// Note records something that a method did without changing a shape.
func (r *Run) Note(event, text string) {
	r.report(&metrics.Event{Step: int64(r.Step), Seconds: metrics.Number(r.seconds()), Event: event, Text: text,
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

func (r *Run) seconds() float64 {
	if r.since.IsZero() {
		return r.before.Seconds()
	}
	return (r.before + time.Since(r.since)).Seconds()
}

func (r *Run) close() {
	if r.loader != nil {
		r.loader.Close()
	}
	if r.saver != nil {
		r.saver.Close()
	}
	if r.net != nil {
		r.net.close()
	}
}
