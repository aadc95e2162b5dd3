// Package trainer is the training loop: it runs steps of a growing network,
// sums their gradients over shards and ranks, updates, evaluates, saves, and
// applies the changes of the network that methods propose.
//
//	for step < steps {
//		Boundary             a method may propose a Mutation; it is applied here
//		for shard in mine {
//			forward, backward   a bucket is summed over ranks while backward goes on
//		}
//		wait for the sums    losses, counts and requests to stop travel with them
//		Reduced              gradients of the whole batch are there
//		Rates                methods set the rate of every block
//		update               one pass over the parameters
//		Stepped              the step is committed
//		evaluate, save       where the plan says so
//	}
//	Finished
//
// The events are those of [Event], in this order on every rank. All that a
// method may base a decision on is equal on all ranks when its event fires.
//
// Promise: the state after step s is a function of the configuration and the
// seed. It depends neither on the number of ranks (one to as many as there are
// shards), nor on threads, nor on how often the run was stopped and resumed,
// nor on ranks that died, joined or left on the way, wherever that was.
//
// A run lives across communicators: see [Group] for where they come from, and
// generation.go for what happens between two of them. A method takes part by
// Save and Load, which may be called in the middle of a run: what it does at a
// boundary is undone if the step is never committed, and done again. It should
// be a [Planner].
//
// Left to others: who the ranks are and how they talk (collective, launch),
// what is computed (kernels, trainer/graph), when to change (methods).
package trainer

import (
	"encoding/json"
	"fmt"
	"math"
	"time"

	"go.uber.org/zap"

	"github.com/espalier-ml/espalier/collective"
	"github.com/espalier-ml/espalier/kernels"
	"github.com/espalier-ml/espalier/trainer/data"
	"github.com/espalier-ml/espalier/trainer/graph"
	"github.com/espalier-ml/espalier/trainer/metrics"
	"github.com/espalier-ml/espalier/trainer/models"
	"github.com/espalier-ml/espalier/trainer/optim"
)

// Event is a point of the loop at which methods are called.
type Event uint8

// Events in the order of the loop.
const (
	Boundary Event = iota // before a step; the only place for Propose
	Reduced               // gradients are summed
	Rates                 // block factors may be set
	Stepped               // parameters are updated, Step counts the step as done
	Finished              // after the last step
)

func (e Event) String() string {
	return [...]string{"boundary", "reduced", "rates", "stepped", "finished"}[e]
}

// Method changes how a network trains. On is called for every event on every
// rank and must decide alike everywhere: from the run's plan or from reduced
// values, never from a clock or from its own shards.
type Method interface {
	Name() string
	On(e Event, r *Run) error
	// Save and Load keep the method's state in checkpoints and from one
	// generation of ranks to the next; nil means none. Load may be called more
	// than once; what the method did since the state was saved is void then.
	Save() (json.RawMessage, error)
	Load(json.RawMessage) error
}

// Weigher is a Method that puts something in the place of weights wherever the
// network is traced, for training and for evaluation: see graph.Config. Several
// are applied in the order of Config.Methods.
type Weigher interface {
	Method
	Weight(g *graph.Graph, p *graph.Param, v *graph.Value) *graph.Value
}

// weights composes the Weighers of a run; nil when there are none.
func (c *Config) weights() func(g *graph.Graph, p *graph.Param, v *graph.Value) *graph.Value {
	var ws []Weigher
	for _, m := range c.Methods {
		if w, ok := m.(Weigher); ok {
			ws = append(ws, w)
		}
	}
	if len(ws) == 0 {
		return nil
	}
	return func(g *graph.Graph, p *graph.Param, v *graph.Value) *graph.Value {
		for _, w := range ws {
			v = w.Weight(g, p, v)
		}
		return v
	}
}

// Phase is a run of steps with one batch size.
type Phase struct {
	Steps uint64
	Batch int // samples of a step over all ranks, a multiple of the shards
}

// Config is everything that a run is a function of, and what it reports to.
type Config struct {
	Model    models.Spec
	Sizes    graph.Sizes // at the start; Dims not listed have full size
	Seed     uint64
	Shards   int
	Timeline []Phase
	Optim    optim.Config
	Schedule optim.Schedule
	// Restarts are the steps at which the schedule begins anew: it is run
	// through between any two of them.
	Restarts []uint64
	Clip     float64 // largest gradient norm; 0 means no clipping
	Methods  []Method

	Train, Test data.Source
	// EvalEvery and SaveEvery count steps; 0 means only at the end.
	EvalEvery, SaveEvery, LogEvery uint64
	EvalRows                       int // rows of an evaluation batch; 0 means 128
	KeepCheckpoints                int // 0 keeps 2
	// BucketBytes limits a gradient bucket; 0 means 1 MiB.
	BucketBytes int64

	// Name, Variant, Threads and Stages are for the record only.
	Name, Variant   string
	Threads, Stages int

	// Dir is where checkpoints go; "" means none are kept.
	Dir string
	// Memory, if not nil, gets a copy of the state every MemoryEvery, by ranks
	// that lead; 0 means none. Copies take a fiftieth of the time at most.
	Memory      Memory
	MemoryEvery time.Duration
	// Job identifies the resolved job in checkpoints; a checkpoint of another
	// job is refused.
	Job string
	// Report receives records on rank 0; nil means nobody listens.
	Report func(metrics.Record)
	Log    *zap.Logger

	Device kernels.Device
	// Group says who trains together, one generation after another. Comm is
	// short for Fixed(Comm).
	Group Group
	Comm  collective.Comm
	// Leads says which ranks of a generation report and save; nil means rank 0.
	Leads func(collective.Info) bool
	// Patience bounds how long closing waits for the transport; 0 means ten
	// seconds. How long a step waits for other ranks is the transport's.
	Patience time.Duration
}

// Validate says what is wrong with a configuration.
func (c *Config) Validate() error {
	if err := c.Model.Check(); err != nil {
		return err
	}
	if err := c.Optim.Validate(); err != nil {
		return err
	}
	if err := c.Schedule.Validate(); err != nil {
		return err
	}
	for i, s := range c.Restarts {
		if s == 0 || s >= c.steps() || i > 0 && s <= c.Restarts[i-1] {
			return fmt.Errorf("the schedule begins anew at steps %v of %d: want rising steps within the run", c.Restarts, c.steps())
		}
	}
	switch {
	case c.Group == nil:
		return fmt.Errorf("no group of ranks: give Group or Comm")
	case c.Shards < 1 || c.Shards&(c.Shards-1) != 0 || c.Shards > 1024:
		return fmt.Errorf("%d shards: want a power of two up to 1024", c.Shards)
	case len(c.Timeline) == 0:
		return fmt.Errorf("the run has no steps: more epochs or a smaller batch")
	case c.Clip < 0 || math.IsNaN(c.Clip):
		return fmt.Errorf("clip %v: want 0 or more", c.Clip)
	}
	for i, p := range c.Timeline {
		if p.Batch < 1 || p.Batch%c.Shards != 0 {
			return fmt.Errorf("phase %d: batch %d is no multiple of %d shards", i, p.Batch, c.Shards)
		}
	}
	return nil
}

// steps is the length of the run.
func (c *Config) steps() (n uint64) {
	for _, p := range c.Timeline {
		n += p.Steps
	}
	return n
}

// schedule is the factor of the base rate at a step.
func (c *Config) schedule(step uint64) float64 {
	first, end := uint64(0), c.steps()
	for _, s := range c.Restarts {
		if step < s {
			end = s
			break
		}
		first = s
	}
	return c.Schedule.At(step-first, end-first)
}

// samples is the number of samples that the run consumes.
func (c *Config) samples() (n uint64) { return c.cursor(c.steps()) }

// cursor is the number of samples consumed before the given step, and with it
// the place of the step's first sample.
func (c *Config) cursor(step uint64) (n uint64) {
	for _, p := range c.Timeline {
		k := min(step, p.Steps)
		n += k * uint64(p.Batch)
		step -= k
	}
	return n
}

// batch is the global batch of a step; the last one's beyond the end.
func (c *Config) batch(step uint64) int {
	for _, p := range c.Timeline {
		if step < p.Steps {
			return p.Batch
		}
		step -= p.Steps
	}
	return c.Timeline[len(c.Timeline)-1].Batch
}

func (c *Config) maxBatch() (n int) {
	for _, p := range c.Timeline {
		n = max(n, p.Batch)
	}
	return n
}
