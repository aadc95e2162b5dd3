package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"

	"go.uber.org/zap"

	"github.com/espalier-ml/espalier/collective"
	"github.com/espalier-ml/espalier/collective/solo"
	"github.com/espalier-ml/espalier/launch/config"
	"github.com/espalier-ml/espalier/launch/supervise"
	"github.com/espalier-ml/espalier/trainer"
	"github.com/espalier-ml/espalier/trainer/metrics"
)

// training is one invocation of train.
type training struct {
	app     *app
	flags   trainFlags
	log     *zap.Logger
	display *display
}

// run trains the job, then what it is to be compared with, and reports both.
func (t *training) run(ctx context.Context, job *config.Resolved) error {
	ctx, release := untilSignal(ctx)
	defer release()
	runs := []*config.Resolved{job}
	if job.Job.Compare.Fixed && !job.Job.Plain() {
		runs = append(runs, job.Fixed())
	}
	t.app.result = &trainResult{RunDir: job.Job.Run.Dir}
	// The outer folder stays locked until both runs are reported.
	for _, r := range runs {
		release, err := t.one(ctx, r)
		if release != nil {
			defer release()
		}
		if err != nil {
			t.reportSoFar(job)
			return err
		}
	}
	return t.report(runs)
}

// one runs a single job to its end. release gives its folder back.
func (t *training) one(ctx context.Context, job *config.Resolved) (release func(), err error) {
	nproc, threads := job.Job.Workers(runtime.NumCPU())
	set, err := t.app.openData(job, consoleLog(t.app.stderr, t.flags.verbose))
	if err != nil {
		return nil, err
	}
	cfg, err := job.Fit(set, nproc)
	if err != nil {
		return nil, err
	}
	f, err := openFolder(job, cfg.Job, nproc, t.flags)
	if err != nil {
		return nil, err
	}
	if f.done() {
		fmt.Fprintf(t.app.stderr, "%s is finished; to train it anew, add --fresh\n", f.dir)
		return f.close, nil
	}
	if err := f.begin(job, nproc, features()); err != nil {
		return f.close, err
	}
	return f.close, t.train(ctx, f, cfg, nproc, threads)
}

// train runs what the folder now describes, here or in workers.
func (t *training) train(ctx context.Context, f *folder, cfg trainer.Config, nproc, threads int) (err error) {
	t.display = newDisplay(t.app.stderr, t.flags.quiet, f.log)
	defer t.display.Close()
	if t.log, err = runLog(f.dir, t.display, t.flags.verbose, -1); err != nil {
		return err
	}
	defer t.log.Sync()
	if nproc == 1 {
		err = t.alone(ctx, f.dir, cfg, threads)
	} else {
		err = t.many(ctx, f.dir, nproc, threads)
	}
	if errors.Is(err, supervise.ErrStopped) {
		return stopped(ctx, f.dir, t.display.step, t.display.steps)
	}
	return err
}

// alone is a run of one rank, in this process.
func (t *training) alone(ctx context.Context, dir string, cfg trainer.Config, threads int) error {
	lock, err := writerLock(dir)
	if err != nil {
		return err
	}
	defer lock.Close()
	comm := solo.New(collective.Gen{})
	defer comm.Close(context.Background())
	k := &rank{cfg: cfg, dir: dir, comm: comm, threads: threads, crowded: threads > len(processors()), show: t.display.Handle, log: t.log}
	res, err := k.train(ctx)
	if err == nil && !res.Done {
		return supervise.ErrStopped
	}
	return err
}

// reportSoFar writes the report of a run that did not reach its end, if it
// got anywhere. It is a courtesy: the run's own error counts.
func (t *training) reportSoFar(job *config.Resolved) {
	if _, err := os.Stat(filepath.Join(job.Job.Run.Dir, metrics.FileName)); errors.Is(err, fs.ErrNotExist) {
		return
	}
	if _, err := writeReport([]*config.Resolved{job}); err != nil && t.log != nil {
		t.log.Warn("no report", zap.Error(err))
	}
}
