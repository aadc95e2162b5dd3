package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/espalier-ml/espalier/collective/shm"
	"github.com/espalier-ml/espalier/launch/config"
	"github.com/espalier-ml/espalier/launch/report"
	"github.com/espalier-ml/espalier/launch/supervise"
	"github.com/espalier-ml/espalier/trainer/data"
	"github.com/espalier-ml/espalier/trainer/metrics"
)

// workerCommand is what train starts N times: a rank that reads the resolved
// job of the run folder. Rank 0 prints its records, one JSON object a line,
// for the parent to show.
func (a *app) workerCommand() *cobra.Command {
	var threads int
	var crowded bool
	c := &cobra.Command{Use: "worker DIR", Short: "One rank of a run; started by train", Hidden: true, Args: cobra.ExactArgs(1)}
	c.Flags().IntVar(&threads, "threads", 1, "threads")
	c.Flags().BoolVar(&crowded, "crowded", false, "more threads than processors")
	c.RunE = func(c *cobra.Command, args []string) error {
		if !supervise.Supervised() {
			return usage("worker is started by espalier train, not by hand")
		}
		comm, err := supervise.Worker(shm.Options{})
		if err != nil {
			return err
		}
		defer comm.Close(context.Background())
		k := &rank{dir: args[0], comm: comm, threads: threads, crowded: crowded}
		done, err := a.work(c.Context(), k)
		if err != nil {
			comm.Abort(err) // the parent prints the first reason given
			return withCode(exitFailure, errSilent{err})
		}
		if !done {
			return withCode(supervise.ExitStopped, errSilent{supervise.ErrStopped})
		}
		return nil
	}
	return c
}

// errSilent is an error that somebody else prints.
type errSilent struct{ error }

func (e errSilent) Unwrap() error { return e.error }

// work trains as a worker; done is false if it was asked to stop before.
func (a *app) work(ctx context.Context, k *rank) (done bool, err error) {
	ctx, release := untilSignal(ctx)
	defer release()
	if k.log, err = runLog(k.dir, a.stderr, false, int(k.comm.Info().Rank)); err != nil {
		return false, err
	}
	defer k.log.Sync()
	job, err := config.Load(filepath.Join(k.dir, report.JobFile))
	if err != nil {
		return false, err
	}
	set, err := data.Opener{Dir: job.Job.Data.Dir, Log: k.log}.Open(job.Job.Data.Name)
	if err != nil {
		return false, err
	}
	if k.cfg, err = job.Fit(set, k.comm.Info().World); err != nil {
		return false, err
	}
	if k.comm.Info().Rank == 0 {
		lock, err := writerLock(k.dir)
		if err != nil {
			return false, err
		}
		defer lock.Close()
	}
	out := bufio.NewWriter(a.stdout)
	k.show = func(r metrics.Record) {
		if line, err := metrics.Append(nil, r); err == nil {
			out.Write(append(line, '\n'))
			out.Flush()
		}
	}
	res, err := k.train(ctx)
	return res.Done, err
}

// writerLock waits until no other worker writes into the run folder: one of
// an earlier attempt whose parent was killed may still be dying.
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
