package agent

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"go.uber.org/zap"

	"github.com/espalier-ml/espalier/cluster"
	"github.com/espalier-ml/espalier/collective/shm"
	"github.com/espalier-ml/espalier/launch/supervise"
	"github.com/espalier-ml/espalier/trainer/metrics"
)

// Config says what an agent runs.
type Config struct {
	Node    cluster.NodeID
	Run     string // name of the run, equal on all nodes
	Session cluster.Session

	Workers int
	// Together makes the workers of the node take part all at once or not at
	// all: for runs whose results depend on their number.
	Together bool
	// Binary is the workers' program, empty for this one; Args and Env are as
	// in exec.Cmd. CPUs are the processors of each worker, nil leaves them all.
	Binary string
	Args   []string
	Env    []string
	CPUs   [][]int
	// Keep are files that workers inherit without looking at them: a lock that
	// lasts until the last of them is gone.
	Keep []*os.File
	// Listen is the host at which workers take connections from other nodes,
	// empty where there are none.
	Listen string

	// Papers, if not nil, are the certificate and key that workers show to those
	// of other nodes, as secure.Credentials.ForWorker gives them; nil bytes stand
	// for plain text, between loopback addresses.
	Papers func() []byte

	// Record receives the records of the first local worker, in order.
	Record func(metrics.Record)
	// Stdout and Stderr take the output of workers; nil is this process's.
	Stdout, Stderr io.Writer

	// Grace is how long workers may take to save and end. 0 means 2 minutes.
	Grace time.Duration
	// Settle is how long a worker may take to leave a generation that broke.
	// 0 means 10 seconds.
	Settle time.Duration
	// Silence is after how long without a sign of life a stopped process is
	// replaced, 0 means 3 seconds; one that is not stopped but silent may take
	// ten times as long.
	Silence time.Duration
	// Deaths is how often a worker may die in a row without a step of progress.
	// 0 means 5. Backoff is the pause after the second one, doubled by each
	// further one; 0 means 250 ms.
	Deaths  int
	Backoff time.Duration

	Log *zap.Logger // nil: silent
}

// withDefaults returns the config with what was left open, or what is wrong.
func (c Config) withDefaults() (Config, error) {
	var errs []error
	if c.Workers < 1 || c.Workers > shm.MaxWorld {
		errs = append(errs, fmt.Errorf("%d workers, want 1 to %d", c.Workers, shm.MaxWorld))
	}
	if c.CPUs != nil && len(c.CPUs) != c.Workers {
		errs = append(errs, fmt.Errorf("processors for %d workers, want %d", len(c.CPUs), c.Workers))
	}
	if c.Session == nil {
		errs = append(errs, errors.New("no session"))
	}
	if c.Binary == "" {
		self, err := os.Executable()
		if err != nil {
			errs = append(errs, fmt.Errorf("find this program: %w", err))
		}
		c.Binary = self
	}
	if c.Record == nil {
		c.Record = func(metrics.Record) {}
	}
	if c.Stdout == nil {
		c.Stdout = os.Stdout
	}
	if c.Stderr == nil {
		c.Stderr = os.Stderr
	}
	c.Grace = or(c.Grace, 2*time.Minute)
	c.Settle = or(c.Settle, 10*time.Second)
	c.Silence = or(c.Silence, 3*time.Second)
	c.Backoff = or(c.Backoff, 250*time.Millisecond)
	c.Deaths = or(c.Deaths, 5)
	if c.Log == nil {
		c.Log = zap.NewNop()
	}
	if err := errors.Join(errs...); err != nil {
		return c, fmt.Errorf("agent: %w", err)
	}
	return c, nil
}

func or[T int | time.Duration](v, otherwise T) T {
	if v <= 0 {
		return otherwise
	}
	return v
}

// runID is the identity of the run in its frames.
func (c *Config) runID() []byte {
	sum := sha256.Sum256([]byte("espalier run " + c.Run))
	return sum[:16]
}

// What a run ends with besides the failure of a worker.
var (
	// ErrStopped: the node left as it was asked to, with its state saved.
	ErrStopped = errors.New("stopped on request")

	// ErrExcluded: the run goes on without this node. It may come back.
	ErrExcluded = errors.New("excluded from the run")

	// ErrLost: the session ended before the run did.
	ErrLost = errors.New("membership in the run was lost")
)

// FailedError is the error that training ended with on a worker.
type FailedError struct {
	Worker int
	Text   string
	Config bool // the job cannot work as given
}

func (e *FailedError) Error() string { return fmt.Sprintf("worker %d: %s", e.Worker, e.Text) }

// DyingError is a worker that keeps dying.
type DyingError struct {
	Times int
	Last  *supervise.WorkerError
}

func (e *DyingError) Error() string {
	return fmt.Sprintf("died %d times in a row without a step of progress, the last time: %v", e.Times, e.Last)
}

func (e *DyingError) Unwrap() error { return e.Last }
