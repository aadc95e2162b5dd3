package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"

	"go.uber.org/zap"

	"github.com/espalier-ml/espalier/collective"
	"github.com/espalier-ml/espalier/collective/solo"
	"github.com/espalier-ml/espalier/launch/agent"
	"github.com/espalier-ml/espalier/launch/config"
	"github.com/espalier-ml/espalier/trainer"
	"github.com/espalier-ml/espalier/trainer/metrics"
)

// training is one invocation of train.
type training struct {
	app     *app
	flags   trainFlags
	log     *zap.Logger
	display *display
	party   *party // nodes to train with, nil for this machine alone

	mu     sync.Mutex
	killer func() // ends what runs at once, nil if nothing has to be
}

// onKill says what a second signal has to end before the process goes, until
// the function returned is called.
func (t *training) onKill(f func()) (forget func()) {
	set := func(f func()) {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.killer = f
	}
	set(f)
	return func() { set(nil) }
}

func (t *training) kill() {
	t.mu.Lock()
	f := t.killer
	t.mu.Unlock()
	if f != nil {
		f()
	}
}

// run trains the job, then what it is to be compared with, and reports both.
func (t *training) run(ctx context.Context, job *config.Resolved) error {
	ctx, release := untilSignal(ctx, t.kill)
	defer release()
	runs := []*config.Resolved{job}
	if job.Job.Compare.Fixed && !job.Job.Plain() && t.party == nil {
		runs = append(runs, job.Fixed())
	}
	t.app.result = &trainResult{RunDir: job.Job.Run.Dir}
	// The outer folder stays locked until both runs are reported.
	for _, r := range runs {
		release, err := t.one(ctx, r)
		if release != nil {
			defer release()
		}
		if errors.Is(err, errElsewhere) {
			fmt.Fprintln(t.app.stderr, err)
			return nil
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
	world := nproc
	if t.party != nil {
		if err := t.party.fit(job, nproc); err != nil {
			return nil, err
		}
		world *= t.party.max
	}
	set, err := t.app.openData(job, consoleLog(t.app.stderr, t.flags.verbose))
	if err != nil {
		return nil, err
	}
	cfg, err := job.Fit(set, world)
	if err != nil {
		return nil, err
	}
	f, err := openFolder(job, cfg.Job, world, t.flags)
	if err != nil {
		return nil, err
	}
	if f.done() {
		fmt.Fprintf(t.app.stderr, "%s is finished; to train it anew, add --fresh\n", f.dir)
		return f.close, nil
	}
	if err := f.begin(job, world, features()); err != nil {
		return f.close, err
	}
	return f.close, t.train(ctx, f, cfg, crew{nproc, threads, world, job.Job.Train.Strict})
}

// train runs what the folder now describes, here or in workers.
func (t *training) train(ctx context.Context, f *folder, cfg trainer.Config, c crew) (err error) {
	t.display = newDisplay(t.app.stderr, t.flags.quiet, f.log)
	defer t.display.Close()
	if t.log, err = runLog(f.dir, t.display, t.flags.verbose, -1); err != nil {
		return err
	}
	defer t.log.Sync()
	switch {
	case t.party != nil:
		err = t.together(ctx, f, cfg.Job, c)
	case c.nproc == 1:
		err = t.alone(ctx, f, cfg, c.threads)
	default:
		err = t.many(ctx, f, cfg.Job, c)
	}
	if errors.Is(err, agent.ErrStopped) {
		return stopped(ctx, f.dir, t.display.step, t.display.steps)
	}
	return err
}

// alone is a run of one rank, in this process.
func (t *training) alone(ctx context.Context, f *folder, cfg trainer.Config, threads int) error {
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
	comm := solo.New(collective.Gen{})
	defer comm.Close(context.Background())
	cfg.Comm, cfg.Report = comm, rec.take
	k := &rank{cfg: cfg, dir: f.dir, threads: threads, crowded: threads > len(processors()), log: t.log}
	release := func() bool { return true }
	res, err := k.train(ctx, func(r *trainer.Run) { release = context.AfterFunc(ctx, r.RequestStop) })
	release()
	if err == nil && !res.Done {
		return agent.ErrStopped
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
