package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/espalier-ml/espalier/collective"
	"github.com/espalier-ml/espalier/launch/agent"
	"github.com/espalier-ml/espalier/launch/config"
	"github.com/espalier-ml/espalier/launch/report"
	"github.com/espalier-ml/espalier/launch/supervise"
	"github.com/espalier-ml/espalier/trainer"
	"github.com/espalier-ml/espalier/trainer/data"
)

// workerCommand is what an agent starts N times: a rank that reads the resolved
// job of the run folder. What it records goes to the agent.
func (a *app) workerCommand() *cobra.Command {
	k := &rank{shared: true}
	var world int
	c := &cobra.Command{Use: "worker DIR", Short: "One rank of a run; started by train and launch", Hidden: true, Args: cobra.ExactArgs(1)}
	c.Flags().IntVar(&k.threads, "threads", 1, "threads")
	c.Flags().IntVar(&world, "world", 1, "workers of the run, where results depend on their number")
	c.Flags().BoolVar(&k.crowded, "crowded", false, "more threads than processors")
	c.RunE = func(c *cobra.Command, args []string) error {
		if !agent.Supervised() {
			return usage("worker is started by espalier train and launch, not by hand")
		}
		signal.Ignore(syscall.SIGINT, syscall.SIGTERM) // the agent says when to stop
		k.dir = args[0]
		return a.work(c.Context(), k, world)
	}
	return c
}

// errSilent is an error that somebody else prints.
type errSilent struct{ error }

func (e errSilent) Unwrap() error { return e.error }

// work trains as a worker and tells the agent how that ended.
func (a *app) work(ctx context.Context, k *rank, world int) (err error) {
	if k.log, err = runLog(k.dir, a.stderr, false, agent.Index()); err != nil {
		return err
	}
	defer k.log.Sync()
	job, jobErr := config.Load(filepath.Join(k.dir, report.JobFile))
	o := agent.Options{Grace: stopGrace, Log: k.log}
	if jobErr == nil && job.Job.Run.Trace {
		t, err := newTracer(k.dir, agent.Index())
		if err != nil {
			return err
		}
		defer t.close()
		o.Observe = t.observe
	}
	w, err := agent.Attach(o)
	if err != nil {
		return err
	}
	defer w.Close()
	if jobErr != nil {
		w.End(false, jobErr, codeOf(jobErr) == exitConfig)
		return errSilent{jobErr}
	}
	done, err := a.serve(ctx, k, w, job, world)
	if errors.Is(err, trainer.ErrLeft) {
		err = nil
	}
	w.End(done, err, codeOf(err) == exitConfig)
	switch {
	case err != nil:
		return withCode(exitFailure, errSilent{err})
	case !done:
		return withCode(supervise.ExitStopped, errSilent{supervise.ErrStopped})
	}
	return nil
}

// serve trains in the generations that the agent seats this worker in.
func (a *app) serve(ctx context.Context, k *rank, w *agent.Worker, job *config.Resolved, world int) (done bool, err error) {
	set, err := data.Opener{Dir: job.Job.Data.Dir, Log: k.log}.Open(job.Job.Data.Name)
	if err != nil {
		return false, err
	}
	if k.cfg, err = job.Fit(set, world); err != nil {
		return false, err
	}
	k.cfg.Group, k.cfg.Report, k.cfg.Memory = w, w.Record, w.Memory()
	k.cfg.Leads = func(collective.Info) bool { return w.First() }
	res, err := k.train(ctx, func(r *trainer.Run) { w.Started(r) })
	return res.Done, err
}

// writerLock waits until nobody writes checkpoints into the run folder: workers
// of an earlier attempt, whose agent was killed, may still be saving. Workers
// inherit the lock, so that it lasts as long as any of them.
func writerLock(dir string) (*os.File, error) {
	path := filepath.Join(dir, checkpointFolder)
	if err := os.MkdirAll(path, 0o755); err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return f, nil
}
