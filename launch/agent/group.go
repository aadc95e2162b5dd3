package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/espalier-ml/espalier/collective"
	"github.com/espalier-ml/espalier/collective/record"
	"github.com/espalier-ml/espalier/collective/tcp"
	"github.com/espalier-ml/espalier/trainer"
)

// Options of a worker.
type Options struct {
	// Grace is how long a worker whose agent died may take to save and end.
	// 0 means 2 minutes.
	Grace time.Duration

	// Timeout ends an operation in which a rank does not arrive; it must be
	// longer than any pause a healthy rank makes. 0 leaves it to the transport.
	Timeout time.Duration

	// Observe, if not nil, is called after each operation. It must be short.
	Observe func(collective.Event)

	Log *zap.Logger // nil: silent
}

// Training is what a worker asks of the training that it serves; *trainer.Run
// has it.
type Training interface {
	RequestRegroup()
	RequestStop()
	Progress() trainer.Progress
}

// Worker is a worker process's membership in a run: it is the trainer's Group,
// and tells the agent what becomes of it. Form is for one goroutine, the other
// methods for any.
type Worker struct {
	o      Options
	agent  *channel
	memory *memory   // of the node
	port   *tcp.Port // nil where all ranks are on one node
	news   chan struct{}
	done   chan struct{} // closed by Close

	mu       sync.Mutex
	run      Training
	orders   inbox
	n        uint64 // generation that it is in or opens, 0 if none
	seat     *seat
	cancel   context.CancelFunc // of opening it
	comm     collective.Comm
	recorder *record.Recorder // of the last generation that it opened
	recorded uint64           // and that one's number
	drained  uint64           // generation that a drain was asked for
	announce bool             // ready was said
}

// inbox is what Form has to look at.
type inbox struct {
	form   *order
	group  *os.File // of form, may be nil
	leave  bool
	stop   bool
	orphan bool // the agent is gone
}

// Form implements trainer.Group.
func (w *Worker) Form(ctx context.Context, broken error) (collective.Comm, error) {
	w.left(broken)
	for {
		o, group, err := w.next(ctx)
		if err != nil {
			return nil, err
		}
		comm, err := w.take(ctx, o, group)
		if err == nil {
			return comm, nil
		}
		w.o.Log.Info("generation did not form here", zap.Uint64("gen", o.N), zap.Error(err))
		w.left(err)
	}
}

// left tells the agent how the worker came out of a generation, or that it is
// ready for its first.
func (w *Worker) left(broken error) {
	w.mu.Lock()
	n, comm, seat := w.n, w.comm, w.seat
	w.n, w.comm, w.seat, w.cancel = 0, nil, nil, nil
	first := !w.announce
	w.announce = true
	r := report{Say: sayDrained, N: n, Progress: w.progress()}
	w.mu.Unlock()
	if comm != nil && broken != nil {
		comm.Abort(broken) // whoever shares the group has to know
	}
	switch {
	case first:
		r.Say, r.Addr = sayReady, w.addr()
	case broken != nil:
		r.Say, r.Cause = sayBroke, broken.Error()
		r.Blame, r.Proof = blame(broken, seat)
		r.Hang = errors.Is(broken, collective.ErrDeadline) || errors.Is(broken, collective.ErrDesync)
	}
	w.tell(r)
}

// blame finds the ranks at fault in the error of a communicator: those that are
// missing, else the one that ended it, unless that only noticed. Whose
// connections ended is gone for certain; who is silent may yet come back.
func blame(err error, s *seat) (ranks []int, proof bool) {
	var a *collective.AbortError
	if !errors.As(err, &a) || s == nil {
		return nil, false
	}
	for _, r := range a.Missing {
		if int(r) != s.Rank {
			ranks = append(ranks, int(r))
		}
	}
	waited := errors.Is(a.Kind, collective.ErrDeadline)
	if len(a.Missing) == 0 && !waited && a.By != collective.NoRank && int(a.By) != s.Rank {
		ranks = []int{int(a.By)}
	}
	return ranks, a.Kind == nil && len(ranks) > 0
}

// next waits for a seat to take.
func (w *Worker) next(ctx context.Context) (*order, *os.File, error) {
	for {
		w.mu.Lock()
		in := w.orders
		w.orders.form, w.orders.group = nil, nil
		w.mu.Unlock()
		if in.leave || in.stop || in.orphan {
			if in.group != nil {
				in.group.Close()
			}
			return nil, nil, trainer.ErrLeft
		}
		if in.form != nil {
			return in.form, in.group, nil
		}
		select {
		case <-w.news:
		case <-ctx.Done():
			return nil, nil, context.Cause(ctx)
		}
	}
}

// take opens the communicator of a seat.
func (w *Worker) take(ctx context.Context, o *order, group *os.File) (collective.Comm, error) {
	opening, cancel := context.WithCancel(ctx)
	defer cancel()
	w.mu.Lock()
	w.n, w.seat, w.cancel = o.N, o.Seat, cancel
	w.mu.Unlock()
	rec := record.New(tailSize)
	comm, err := w.open(opening, o.N, o.Seat, group, rec)
	if err != nil {
		return nil, fmt.Errorf("open generation %d: %w", o.N, err)
	}
	comm = rec.Wrap(comm)
	w.mu.Lock()
	w.comm, w.cancel = comm, nil
	w.recorder, w.recorded = rec, o.N
	if opening.Err() != nil {
		comm.Abort(fmt.Errorf("generation %d was given up", o.N))
	}
	w.mu.Unlock()
	w.tell(report{Say: sayOpened, N: o.N})
	return comm, nil
}

// Started says which training the agent's requests are for.
func (w *Worker) Started(r Training) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.run = r
	w.request()
}

// progress is how far training is. w.mu is held.
func (w *Worker) progress() *trainer.Progress {
	if w.run == nil {
		return nil
	}
	p := w.run.Progress()
	return &p
}

// request passes on what was asked. w.mu is held.
func (w *Worker) request() {
	if w.run == nil {
		return
	}
	alone := w.seat == nil || w.seat.alone()
	switch in := &w.orders; {
	case in.stop, in.orphan && alone:
		w.run.RequestStop()
	case in.leave, in.orphan:
		w.run.RequestRegroup()
	case w.drained != 0 && w.drained == w.n:
		w.run.RequestRegroup()
	}
}
