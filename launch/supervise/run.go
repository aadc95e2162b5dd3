package supervise

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"syscall"
	"time"

	"go.uber.org/zap"

	"github.com/espalier-ml/espalier/collective"
	"github.com/espalier-ml/espalier/collective/shm"
)

// Run starts the workers and returns when the last one has ended: nil if all
// ended well, ErrStopped if they ended early because they were asked to, else
// a *WorkerError, or why they could not be started.
//
// The end of ctx, SIGTERM and SIGINT ask the workers to stop.
func Run(ctx context.Context, spec Spec) error {
	spec, err := spec.withDefaults()
	if err != nil {
		return err
	}
	host, err := shm.Create(spec.World, spec.Gen)
	if err != nil {
		return err
	}
	defer host.Close()
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	defer signal.Stop(signals)

	w := &watch{spec: &spec, host: host, exits: make(chan exit), running: map[int]*Process{}}
	launcher := NewLauncher()
	defer launcher.Close()
	if err := w.startAll(launcher); err != nil {
		w.killAll()
		for len(w.running) > 0 {
			delete(w.running, (<-w.exits).rank)
		}
		return err
	}
	w.loop(ctx.Done(), signals)
	return w.verdict()
}

// exit is the end of a process; fault is nil if it ended well.
type exit struct {
	rank  int
	fault *WorkerError
}

// watch is the state of a run. One goroutine uses it.
type watch struct {
	spec     *Spec
	host     *shm.Host
	exits    chan exit
	running  map[int]*Process
	faults   []*WorkerError
	stopping bool // workers were asked to stop
	stopped  bool // and at least one did before it was done
	deadline <-chan time.Time
}

func (w *watch) startAll(l *Launcher) error {
	out, err := NewSink(w.spec.Stdout), NewSink(w.spec.Stderr)
	for rank := range w.spec.World {
		c := Command{Worker: rank, Binary: w.spec.Binary, Args: w.spec.Args, Dir: w.spec.Dir,
			Env: append(slices.Clone(w.spec.Env),
				envRank+"="+strconv.Itoa(rank),
				envWorld+"="+strconv.Itoa(w.spec.World),
				envGroup+"="+strconv.Itoa(groupFD),
				envSpin+"="+Spin(w.spec.World).String()),
			Files:  []*os.File{w.host.File()},
			Stdout: out, Stderr: err, Raw: rank == 0, Prefix: fmt.Sprintf("[rank %d] ", rank)}
		if w.spec.CPUs != nil {
			c.CPUs = w.spec.CPUs[rank]
		}
		p, err := l.Start(c)
		if err != nil {
			return err
		}
		w.spec.Log.Debug("worker started", zap.Int("rank", rank), zap.Int("pid", p.Pid()))
		w.running[rank] = p
		go func() { w.exits <- exit{rank, p.Wait()} }()
	}
	return nil
}

func (w *watch) loop(cancelled <-chan struct{}, signals <-chan os.Signal) {
	for len(w.running) > 0 {
		select {
		case e := <-w.exits:
			w.ended(e)
		case <-cancelled:
			cancelled = nil
			w.stop("cancelled")
		case s := <-signals:
			if w.stopping {
				w.spec.Log.Warn("second signal: killing workers", zap.Stringer("signal", s))
				w.killAll()
			}
			w.stop(s.String())
		case <-w.deadline:
			w.spec.Log.Warn("workers did not end in time: killing them", zap.Duration("grace", w.spec.Grace))
			w.killAll()
		}
	}
}

// ended takes note of a process that is gone, and tells the group.
func (w *watch) ended(e exit) {
	delete(w.running, e.rank)
	switch {
	case e.fault == nil:
		w.host.Exited(collective.Rank(e.rank))
	case w.stopping && e.fault.stopped():
		w.stopped = true
		w.host.Exited(collective.Rank(e.rank))
	default:
		w.faults = append(w.faults, e.fault)
		w.host.Abort(collective.Rank(e.rank), e.fault.Fate())
		w.spec.Log.Debug("worker failed", zap.Int("rank", e.rank), zap.String("fate", e.fault.Fate()))
		w.allowGrace()
	}
}

// stop asks all workers, once, to end.
func (w *watch) stop(why string) {
	if w.stopping {
		return
	}
	w.stopping = true
	w.spec.Log.Info("stopping workers", zap.String("why", why))
	for _, p := range w.running {
		p.Ask()
	}
	w.allowGrace()
}

func (w *watch) allowGrace() {
	if w.deadline == nil {
		w.deadline = time.After(w.spec.Grace)
	}
}

func (w *watch) killAll() {
	for _, p := range w.running {
		p.Kill()
	}
}

// verdict is the error of the run. The workers that fail because another one
// did are not at fault: the group's record says who was first.
func (w *watch) verdict() error {
	if len(w.faults) == 0 {
		if w.stopped {
			return ErrStopped
		}
		return nil
	}
	fault := w.faults[0]
	if a := w.host.Aborted(); a != nil {
		for _, f := range w.faults {
			if f.Worker == int(a.By) {
				fault = f
			}
		}
		if fault.Worker == int(a.By) && a.Reason != fault.Fate() {
			fault.Reason = a.Reason
		}
	}
	return fault
}
