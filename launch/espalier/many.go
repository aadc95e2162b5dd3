package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"go.uber.org/zap"

	"github.com/espalier-ml/espalier/cluster"
	"github.com/espalier-ml/espalier/cluster/control"
	"github.com/espalier-ml/espalier/cluster/gen"
	"github.com/espalier-ml/espalier/cluster/node"
	"github.com/espalier-ml/espalier/launch/agent"
	"github.com/espalier-ml/espalier/launch/report"
	"github.com/espalier-ml/espalier/launch/supervise"
	"github.com/espalier-ml/espalier/trainer/metrics"
)

// stopGrace is how long workers may take to finish the step in flight and to
// save when they are asked to stop.
const stopGrace = 2 * time.Minute

// crew is what workers are started with.
type crew struct {
	nproc, threads int
	world          int // of a run whose results depend on it, else any number
	strict         bool
}

// many runs a job in worker processes of this machine alone.
func (t *training) many(ctx context.Context, f *folder, hash string, c crew) error {
	host, _ := os.Hostname()
	session, err := node.New(context.WithoutCancel(ctx), node.Config{
		Self:     cluster.Node{ID: "here", Host: host, Build: report.CurrentEnvironment(features()).Version, Job: hash},
		MinNodes: 1, MaxNodes: 1, Store: control.NewMemory(), Times: gen.Times{JoinInterval: time.Second}, Log: t.log})
	if err != nil {
		return err
	}
	defer session.Close(context.Background())
	return t.supervise(ctx, f, c, agent.Config{Node: "here", Run: hash, Session: session}, nil)
}

// supervise runs the node's workers, who belong to a session. If there is a
// watch, it may close the session; what it returns at its end is then why.
func (t *training) supervise(ctx context.Context, f *folder, c crew, cfg agent.Config, watch func(*agent.Agent) (end func() error)) error {
	lock, err := writerLock(f.dir)
	if err != nil {
		return err
	}
	defer lock.Close()
	rec, err := newRecorder(f, t.display.Handle, t.log)
	if err != nil {
		return err
	}
	defer rec.close()
	cfg.Workers, cfg.Together, cfg.Keep = c.nproc, !c.strict, []*os.File{lock}
	cfg.Record, cfg.Stdout, cfg.Stderr, cfg.Grace, cfg.Log = rec.take, t.display, t.display, stopGrace, t.log
	cfg.Args = []string{"worker", "--threads", strconv.Itoa(c.threads), "--world", strconv.Itoa(c.world)}
	if all := len(processors()); c.nproc*c.threads <= all {
		cfg.CPUs = supervise.SplitCPUs(c.nproc)
	} else {
		cfg.Args = append(cfg.Args, "--crowded")
	}
	cfg.Args = append(cfg.Args, f.dir)
	a, err := agent.New(cfg)
	if err != nil {
		return err
	}
	defer t.onKill(a.Kill)()
	if t.flags.metrics != "" {
		stop, err := serveMetrics(t.flags.metrics, cfg.Session, a, t.log)
		if err != nil {
			return err
		}
		defer stop()
	}
	defer watchSession(f.dir, cfg.Session, a, t.log)()
	end := func() error { return nil }
	if watch != nil {
		end = watch(a)
	}
	err = ended(a.Run(ctx))
	if why := end(); why != nil && err != nil {
		return withCode(exitRetry, why)
	}
	if err == nil && !rec.ended {
		return errElsewhere
	}
	return err
}

// errElsewhere: the run is complete, but this node was not there at its end.
var errElsewhere = errors.New("the run was completed by other nodes; its result is in their run folders")

// ended gives the end of an agent its exit status.
func ended(err error) error {
	var failed *agent.FailedError
	switch {
	case errors.As(err, &failed) && failed.Config:
		return withCode(exitConfig, err)
	case errors.Is(err, agent.ErrExcluded), errors.Is(err, agent.ErrLost):
		return withCode(exitRetry, err)
	}
	return err
}

// recorder keeps the record of a run whose workers may take turns at making it.
type recorder struct {
	file        *metrics.Writer
	show        func(metrics.Record)
	log         *zap.Logger
	started     bool
	ended       bool
	train, eval int64 // steps of the last records
}

func newRecorder(f *folder, show func(metrics.Record), log *zap.Logger) (*recorder, error) {
	w, err := metrics.Open(filepath.Join(f.dir, metrics.FileName))
	if err != nil {
		return nil, err
	}
	return &recorder{file: w, show: show, log: log, started: f.log.Start != nil, train: -1, eval: -1}, nil
}

// take writes and shows a record, unless another worker gave it before.
func (r *recorder) take(rec metrics.Record) {
	again := false
	switch rec := rec.(type) {
	case *metrics.Start:
		again, r.started = r.started, true
	case *metrics.End:
		again, r.ended = r.ended, true
	case *metrics.Train:
		again, r.train = rec.Step <= r.train, max(rec.Step, r.train)
	case *metrics.Eval:
		again, r.eval = rec.Step <= r.eval, max(rec.Step, r.eval)
	case *metrics.Event:
		if rec.Event == metrics.EventResume {
			r.train, r.eval = min(r.train, rec.Step), min(r.eval, rec.Step)
		}
	}
	if again {
		return
	}
	if err := r.file.Write(rec); err != nil {
		r.log.Error("record lost", zap.Error(err))
	}
	r.show(rec)
}

func (r *recorder) close() { r.file.Close() }
