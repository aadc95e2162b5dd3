package agent

import (
	"context"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/espalier-ml/espalier/cluster"
	"github.com/espalier-ml/espalier/collective/shm"
	"github.com/espalier-ml/espalier/launch/supervise"
)

// Agent runs the workers of a node.
type Agent struct {
	agent
	killed chan struct{}
	gone   chan struct{} // closed when Run returns
	once   sync.Once
}

// New prepares an agent. The session is the caller's to close.
func New(c Config) (*Agent, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	a := &Agent{killed: make(chan struct{}), gone: make(chan struct{}),
		agent: agent{Config: c, reports: make(chan message, 64), exits: make(chan exit),
			out: supervise.NewSink(c.Stdout), errs: supervise.NewSink(c.Stderr)}}
	for i := range c.Workers {
		a.workers = append(a.workers, &worker{index: i})
	}
	return a, nil
}

// Run starts the workers, follows the session's orders and returns when no
// worker is left: nil if the run is complete, else ErrStopped, ErrExcluded,
// ErrLost, a *FailedError, a *DyingError, or why workers could not be started.
// The end of ctx asks to stop. It may be called once.
func (a *Agent) Run(ctx context.Context) error {
	defer close(a.gone)
	a.launcher = supervise.NewLauncher()
	defer a.launcher.Close()
	var err error
	if a.memory, err = newMemory(); err != nil {
		return err
	}
	defer a.memory.close()
	a.loop(ctx, a.killed)
	a.dissolve()
	return a.verdict()
}

// Kill ends all workers on the spot, and with them Run, for which it waits a
// moment. It may be called from any goroutine, at any time.
func (a *Agent) Kill() {
	a.once.Do(func() { close(a.killed) })
	select {
	case <-a.gone:
	case <-time.After(time.Second):
	}
}

// agent is the state of a node. One goroutine uses it.
type agent struct {
	Config
	launcher  *supervise.Launcher
	memory    *memory // of the workers' state
	out, errs *supervise.Sink
	workers   []*worker
	reports   chan message
	exits     chan exit
	board     board
	hearing   hearing

	generation *cluster.Generation // the last one to form here, nil before
	host       *shm.Host           // of its shared memory, nil if it has none
	over       bool                // it broke, was drained or aborted
	drain      bool                // the session asked for its end at a boundary
	said       uint64              // generation that the session knows to be open here
	announced  string
	started    bool // all workers were ready once

	ending   ending
	done     bool // the first worker completed the run
	failure  error
	deadline time.Time // for workers to end, once ending
	ticked   time.Time
}

// ending is why no worker is started any more.
type ending uint8

const (
	not      ending = iota
	stopping        // asked to
	leaving         // asked to, and others go on
	complete        // the run is
	failed          // by a.failure
)

// message is a report of a worker.
type message struct {
	w     *worker
	spawn int
	report
}

// exit is the end of a worker's process.
type exit struct {
	w     *worker
	fault *supervise.WorkerError // nil if it ended well
}

// tick is how often the agent looks at what nobody tells it.
const tick = 100 * time.Millisecond

func (a *agent) loop(ctx context.Context, killed <-chan struct{}) {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	asked, orders := ctx.Done(), a.Session.Orders()
	a.ticked = time.Now()
	a.startWorkers(a.ticked)
	for a.ending == not || a.alive() > 0 || a.ending == leaving && orders != nil && time.Now().Before(a.deadline) {
		select {
		case o, open := <-orders:
			if !open {
				orders = nil
				a.lost()
				continue
			}
			a.order(o)
		case m := <-a.reports:
			a.hear(m)
		case e := <-a.exits:
			a.ended(e)
		case <-asked:
			asked = nil
			a.stop()
		case <-killed:
			killed = nil
			a.end(stopping)
			a.killAll()
		case now := <-ticker.C:
			a.tick(now)
		}
	}
	a.post()
	if a.done {
		a.Session.Finish()
		a.await(orders)
	}
}

// await lets the session tell the others that the run is complete.
func (a *agent) await(orders <-chan cluster.Order) {
	limit := time.NewTimer(5 * time.Second)
	defer limit.Stop()
	for {
		select {
		case _, open := <-orders:
			if !open {
				return
			}
		case <-limit.C:
			return
		}
	}
}

// tick does what time brings.
func (a *agent) tick(now time.Time) {
	if now.Sub(a.ticked) > time.Second { // this process stood still itself: nobody else is to blame
		for _, w := range a.workers {
			w.heard = now
		}
	}
	a.ticked = now
	a.post()
	if h := &a.hearing; !h.due.IsZero() && now.After(h.due) {
		a.pronounce()
	}
	switch {
	case a.ending == not:
		a.startWorkers(now)
		a.watch(now)
		a.settle(now)
	case now.After(a.deadline):
		a.Log.Warn("workers did not end in time: killing them", zap.Duration("grace", a.Grace))
		a.killAll()
	}
}

func (a *agent) killAll() {
	for _, w := range a.workers {
		w.kill()
	}
}

func (a *agent) alive() (n int) {
	for _, w := range a.workers {
		if w.proc != nil {
			n++
		}
	}
	return n
}

// end begins the end: no worker is started any more, and those that are left
// have to end by themselves.
func (a *agent) end(e ending) {
	if a.ending == not || e == failed && a.ending != failed {
		a.ending, a.deadline = e, time.Now().Add(a.Grace)
	}
}

// stop is a request from outside: to leave, if there are others.
func (a *agent) stop() {
	if a.ending != not {
		return
	}
	if g := a.generation; g != nil && len(g.Nodes) > 1 {
		a.Log.Info("leaving the run at the next boundary")
		a.end(leaving)
		a.Session.Leave()
		return
	}
	a.Log.Info("stopping")
	a.end(stopping)
	a.tellAll(order{Do: doStop})
}

// fail ends the run on this node by an error.
func (a *agent) fail(err error) {
	if a.ending == failed {
		return
	}
	a.end(failed)
	a.failure = err
	a.abort(err.Error())
	a.tellAll(order{Do: doLeave})
}

// lost is the end of the session.
func (a *agent) lost() {
	if a.ending == not {
		a.fail(ErrLost)
	}
	if a.ending == leaving {
		a.tellAll(order{Do: doLeave})
	}
}

func (a *agent) verdict() error {
	switch {
	case a.done, a.ending == complete:
		return nil
	case a.ending == failed:
		return a.failure
	}
	return ErrStopped
}

func (a *agent) tellAll(o order) {
	for _, w := range a.workers {
		w.tell(o)
	}
}

// fault is what is said of a generation that broke.
func (a *agent) fault(format string, args ...any) cluster.Fault {
	return cluster.Fault{Why: fmt.Sprintf(format, args...)}
}
