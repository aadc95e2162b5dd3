package agent

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"syscall"
	"time"

	"go.uber.org/zap"

	"github.com/espalier-ml/espalier/collective/tcp"
	"github.com/espalier-ml/espalier/launch/supervise"
	"github.com/espalier-ml/espalier/trainer"
	"github.com/espalier-ml/espalier/trainer/metrics"
)

// What a worker finds in its environment.
const (
	envAgent  = "ESPALIER_AGENT_FD"
	envWorker = "ESPALIER_WORKER"    // number of the worker on its node
	envListen = "ESPALIER_LISTEN"    // host that it takes connections at, empty for none
	envMemory = "ESPALIER_MEMORY_FD" // first of the files of the node's memory
)

// beat is how often a worker says that it lives.
const beat = 500 * time.Millisecond

// Supervised reports whether this process is a worker of an agent.
func Supervised() bool { return os.Getenv(envAgent) != "" }

// Index is the number of this worker on its node, 0 for a process that is none.
func Index() int {
	n, _ := strconv.Atoi(os.Getenv(envWorker))
	return n
}

// Attach connects a worker with the agent that started it. It must be called
// once.
func Attach(o Options) (*Worker, error) {
	fd, err := strconv.Atoi(os.Getenv(envAgent))
	if err != nil || fd < 0 {
		return nil, fmt.Errorf("worker: environment variable %s is %q, want a number: was this process started by an agent?", envAgent, os.Getenv(envAgent))
	}
	syscall.CloseOnExec(fd)
	c, err := newChannel(os.NewFile(uintptr(fd), "agent"))
	if err != nil {
		return nil, fmt.Errorf("worker: %w", err)
	}
	if o.Grace == 0 {
		o.Grace = 2 * time.Minute
	}
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	memory, err := inherit(os.Getenv(envMemory))
	if err != nil {
		c.close()
		return nil, fmt.Errorf("worker: %w", err)
	}
	w := &Worker{o: o, agent: c, memory: memory, news: make(chan struct{}, 1), done: make(chan struct{})}
	if host := os.Getenv(envListen); host != "" {
		if w.port, err = tcp.Listen(net.JoinHostPort(host, "0")); err != nil {
			memory.close()
			c.close()
			return nil, fmt.Errorf("worker: listen for its peers: %w", err)
		}
	}
	go w.listen()
	go w.pulse()
	return w, nil
}

// addr is where peers find this worker; without any it is only a name.
func (w *Worker) addr() string {
	if w.port != nil {
		return w.port.Addr()
	}
	return "local:" + strconv.Itoa(os.Getpid())
}

// tell sends a report. An agent that is gone is noticed elsewhere.
func (w *Worker) tell(r report) {
	if err := w.agent.send(r); err != nil {
		w.o.Log.Debug("agent does not listen", zap.String("say", r.Say), zap.Error(err))
	}
}

// listen takes orders until the agent is gone.
func (w *Worker) listen() {
	for {
		var o order
		files, err := w.agent.recv(&o)
		if err != nil {
			w.orphaned(err)
			return
		}
		w.obey(o, files)
	}
}

// obey takes in an order.
func (w *Worker) obey(o order, files []*os.File) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch o.Do {
	case doForm:
		if o.Seat == nil || w.orders.form != nil && w.orders.form.N >= o.N {
			break
		}
		w.drop()
		w.orders.form = &o
		if len(files) > 0 {
			w.orders.group, files = files[0], files[1:]
		}
		if w.n != 0 && w.n < o.N {
			w.abort(fmt.Errorf("generation %d takes its place", o.N))
		}
	case doDrain:
		w.drained = o.N
	case doAbort:
		if w.orders.form != nil && w.orders.form.N == o.N {
			w.drop()
		}
		if w.n == o.N {
			w.abort(errors.New(o.Cause))
		}
	case doTail:
		w.testify(o.N)
	case doStop:
		w.orders.stop = true
	case doLeave:
		w.orders.leave = true
	}
	closeAll(files)
	w.request()
	w.wake()
}

// testify tells the agent what this worker did last in a generation. w.mu is
// held.
func (w *Worker) testify(n uint64) {
	if w.recorder == nil || w.recorded != n {
		return
	}
	t := w.recorder.Tail()
	w.tell(report{Say: sayTail, N: n, Tail: &t})
}

// drop forgets a seat that was not taken. w.mu is held.
func (w *Worker) drop() {
	if w.orders.group != nil {
		w.orders.group.Close()
	}
	w.orders.form, w.orders.group = nil, nil
}

// abort ends the present generation here. w.mu is held.
func (w *Worker) abort(cause error) {
	if w.comm != nil {
		w.comm.Abort(cause)
	}
	if w.cancel != nil {
		w.cancel()
	}
}

func (w *Worker) wake() {
	select {
	case w.news <- struct{}{}:
	default:
	}
}

// orphaned lets a worker whose agent died come to an end at the next
// boundary, and bounds how long that may take.
func (w *Worker) orphaned(err error) {
	select {
	case <-w.done:
		return
	default:
	}
	w.o.Log.Warn("the agent is gone: saving and ending", zap.Error(err))
	w.mu.Lock()
	w.orders.orphan = true
	w.request()
	w.wake()
	w.mu.Unlock()
	limit := time.AfterFunc(w.o.Grace, func() { os.Exit(supervise.ExitStopped) })
	<-w.done
	limit.Stop()
}

// pulse says at intervals that the process lives.
func (w *Worker) pulse() {
	t := time.NewTicker(beat)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			w.mu.Lock()
			r := report{Say: sayBeat, Progress: w.progress()}
			w.mu.Unlock()
			w.tell(r)
		case <-w.done:
			return
		}
	}
}

// First reports whether this worker is the first of its node in the present
// generation: the one that records and saves for it.
func (w *Worker) First() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.seat != nil && w.seat.Local == 0
}

// Memory is where the node keeps the newest state of the run while workers come
// and go.
func (w *Worker) Memory() trainer.Memory { return w.memory }

// Record sends a record for the run's metrics, if this worker is the one to.
func (w *Worker) Record(r metrics.Record) {
	if !w.First() {
		return
	}
	line, err := metrics.Append(nil, r)
	if err != nil {
		w.o.Log.Error("record lost", zap.Error(err))
		return
	}
	w.tell(report{Say: sayRecord, Record: line})
}

// End tells the agent how training ended here: complete, stopped on request,
// or by an error. config says that the job cannot work as given.
func (w *Worker) End(complete bool, err error, config bool) {
	w.mu.Lock()
	r := report{Say: sayStopped, N: w.n, Progress: w.progress()}
	comm := w.comm
	w.mu.Unlock()
	switch {
	case err != nil:
		r.Say, r.Cause, r.Config = sayFailed, err.Error(), config
	case complete:
		r.Say = sayDone
	}
	w.tell(r)
	if err != nil && comm != nil {
		comm.Abort(err)
	}
}

// Close gives back what the worker holds. The process should end then.
func (w *Worker) Close() {
	close(w.done)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.drop()
	w.agent.close()
	w.memory.close()
	if w.port != nil {
		w.port.Close()
	}
}
