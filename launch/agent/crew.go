package agent

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/espalier-ml/espalier/collective"
	"github.com/espalier-ml/espalier/launch/supervise"
	"github.com/espalier-ml/espalier/trainer"
)

// worker is a place for a process, which may have had several.
type worker struct {
	index   int
	spawn   int                // number of its process, from 1
	proc    *supervise.Process // nil if none runs
	channel *channel
	heard   time.Time // last sign of life

	addr   string // empty until it is ready
	n      uint64 // generation it has a seat in
	local  int    // rank among the workers of the node there
	opened bool
	parted bool      // it left that generation
	ended  bool      // it said how training ended
	reason string    // why it could not start
	due    time.Time // when it must have left a generation that is over, zero if no time is set

	progress trainer.Progress
	step     uint64    // committed, by this process or one before
	deaths   int       // in a row, without progress
	base     uint64    // step at the last death
	again    time.Time // when it is started anew
}

func (w *worker) tell(o order, files ...*os.File) error {
	if w.channel == nil {
		return nil
	}
	return w.channel.send(o, files...)
}

func (w *worker) kill() {
	if w.proc != nil {
		w.proc.Kill()
	}
}

// startWorkers starts every process that is due.
func (a *agent) startWorkers(now time.Time) {
	for _, w := range a.workers {
		if w.proc == nil && !w.ended && !now.Before(w.again) && a.ending == not {
			if err := a.start(w, now); err != nil {
				a.fail(err)
			}
		}
	}
}

func (a *agent) start(w *worker, now time.Time) error {
	near, far, err := pair()
	if err != nil {
		return err
	}
	defer far.Close()
	near.wait = 5 * time.Second
	c := supervise.Command{Worker: w.index, Binary: a.Binary, Args: a.Args, Files: slices.Concat([]*os.File{far}, a.memory.files(), a.Keep),
		Env:    append(slices.Clone(a.Env), envAgent+"=3", envMemory+"=4", envListen+"="+a.Listen, envWorker+"="+strconv.Itoa(w.index)),
		Stdout: a.out, Stderr: a.errs, Raw: w.index == 0, Prefix: fmt.Sprintf("[worker %d] ", w.index), Outlives: true}
	if a.CPUs != nil {
		c.CPUs = a.CPUs[w.index]
	}
	p, err := a.launcher.Start(c)
	if err != nil {
		near.close()
		return err
	}
	a.Log.Debug("worker started", zap.Int("worker", w.index), zap.Int("pid", p.Pid()))
	*w = worker{index: w.index, spawn: w.spawn + 1, proc: p, channel: near, heard: now, step: w.step, deaths: w.deaths, base: w.base}
	go a.follow(w, w.spawn, near, p)
	return nil
}

// follow passes on what a process says, and then that it ended.
func (a *agent) follow(w *worker, spawn int, c *channel, p *supervise.Process) {
	for {
		var r report
		files, err := c.recv(&r)
		if err != nil {
			break
		}
		closeAll(files)
		a.reports <- message{w, spawn, r}
	}
	fault := p.Wait()
	c.close()
	a.exits <- exit{w, fault}
}

// ended takes note of a process that is gone.
func (a *agent) ended(e exit) {
	w := e.w
	w.proc, w.channel, w.addr = nil, nil, ""
	if w.ended || a.ending != not {
		a.Log.Debug("worker ended", zap.Int("worker", w.index))
		w.n = 0
		return
	}
	fault := e.fault
	if fault == nil {
		fault = &supervise.WorkerError{Worker: w.index, Reason: "it left without a word"}
	}
	if w.reason != "" {
		fault.Reason = w.reason
	}
	if w.step > w.base {
		w.deaths = 0
	}
	w.deaths++
	w.base = w.step
	if w.deaths >= a.Deaths {
		a.fail(&DyingError{Times: w.deaths, Last: fault})
		return
	}
	w.again = time.Now()
	if w.deaths > 1 {
		w.again = w.again.Add(a.Backoff << (w.deaths - 2))
	}
	for _, other := range a.workers {
		other.ended = false // who was done has to come back: the one that saves is gone
	}
	a.Log.Warn("worker died and is started anew", zap.Int("worker", w.index), zap.Uint64("step", w.step), zap.String("fate", fault.Fate()))
	a.bereave(w, fault)
	a.startWorkers(time.Now())
}

// bereave takes a dead worker out of the generation.
func (a *agent) bereave(w *worker, fault *supervise.WorkerError) {
	member := a.generation != nil && !a.over && w.n == a.generation.N
	if member && a.host != nil {
		a.host.Abort(collective.Rank(w.local), fault.Fate())
	}
	w.n = 0
	a.announce()
	if member {
		a.broke(a.fault("worker %d: %s", w.index, fault.Fate()))
	}
}

// announce tells the session which workers are ready, if that is new.
func (a *agent) announce() {
	var ready []string
	var step uint64
	for _, w := range a.workers {
		if w.addr != "" {
			ready = append(ready, w.addr)
		}
		step = max(step, w.step)
	}
	a.started = a.started || len(ready) == len(a.workers)
	if !a.started || a.Together && len(ready) < len(a.workers) {
		ready = nil
	}
	if now := strings.Join(ready, " "); now != a.announced {
		a.announced = now
		a.Session.Announce(ready, step)
	}
}

// watch replaces processes that stand still.
func (a *agent) watch(now time.Time) {
	for _, w := range a.workers {
		silent := now.Sub(w.heard)
		if w.proc == nil || silent < a.Silence || silent < 10*a.Silence && !stopped(w.proc.Pid()) {
			continue
		}
		a.Log.Warn("worker stands still: killing it", zap.Int("worker", w.index), zap.Duration("silent", silent))
		w.heard = now
		w.kill()
	}
}

// stopped reports whether a process is stopped, as by SIGSTOP.
func stopped(pid int) bool {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return false
	}
	_, rest, ok := bytes.Cut(b, []byte(") ")) // the name in front may hold anything but this
	return ok && len(rest) > 0 && rest[0] == 'T'
}
