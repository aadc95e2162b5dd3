package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/espalier-ml/espalier/launch/config"
	"github.com/espalier-ml/espalier/launch/report"
	"github.com/espalier-ml/espalier/trainer/metrics"
)

// Files of a run folder that no other package names.
const (
	checkpointFolder = "checkpoints"
	fixedFolder      = "fixed" // run folder of the network compared with
	logFile          = "log.jsonl"
)

// jobMark is the first line of every job.yaml that this command wrote. A file
// of the same name without it belongs to the user and is left alone.
const jobMark = "# The resolved job of this run, written by espalier train.\n"

// folder is a run folder that this process has for itself.
type folder struct {
	dir  string
	lock *os.File
	log  *metrics.Log // of earlier attempts, empty if there were none
}

// openFolder makes the folder or finds the same job in it.
func openFolder(job *config.Resolved, hash string, nproc int, f trainFlags) (*folder, error) {
	dir := job.Job.Run.Dir
	_, missing := os.Stat(dir)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, usage("run folder: %w", err)
	}
	lock, err := lockFolder(dir)
	if err != nil {
		return nil, err
	}
	r := &folder{dir: dir, lock: lock, log: &metrics.Log{}}
	if err := r.adopt(job, hash, nproc, f); err != nil {
		r.close()
		if missing != nil {
			os.Remove(dir) // nothing was made in it
		}
		return nil, err
	}
	return r, nil
}

// lockFolder takes the folder for this process; the lock ends with it, however
// it ends.
func lockFolder(dir string) (*os.File, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("run folder: %w", err)
	}
	if err := unix.Flock(int(d.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		d.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, withCode(exitRetry, fmt.Errorf("%s is in use by another espalier; wait for it, or name another folder with --run-dir", dir))
		}
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	return d, nil
}

func (r *folder) close() { r.lock.Close() }

func (r *folder) path(name string) string { return filepath.Join(r.dir, name) }

// adopt looks at what the folder holds: nothing, this job, or what must not
// be touched.
func (r *folder) adopt(job *config.Resolved, hash string, nproc int, f trainFlags) error {
	text, err := os.ReadFile(r.path(report.JobFile))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if err := r.wantEmpty(); err != nil {
			return err
		}
		return r.absent(f)
	case err != nil:
		return err
	case !bytes.HasPrefix(text, []byte(jobMark)):
		return usage("%s was not written by espalier train; name another folder with --run-dir", r.path(report.JobFile))
	case f.fresh:
		return r.clear()
	}
	if saved, err := r.saved(); err != nil {
		return err
	} else if !saved {
		if err := r.absent(f); err != nil {
			return err
		}
		return r.clear() // nothing to lose, whatever job it was
	}
	then, err := config.Parse(config.Origin{Kind: config.File, Name: r.path(report.JobFile)}, text)
	if err != nil {
		return usage("%w\n%s cannot be gone on with; --fresh discards it, --run-dir names another folder", err, r.dir)
	}
	workers := nproc
	if !then.Job.Train.Strict {
		workers = int(then.Job.Run.Nproc) // see begin
	}
	if had := then.Job.Hash(workers); had != hash {
		return otherJob(r.dir, then, job, had, hash)
	}
	return r.readLog()
}

// absent is the error of --resume where there is nothing to go on with.
func (r *folder) absent(f trainFlags) error {
	if f.resume {
		return usage("--resume: there is no run in %s that could be gone on with", r.dir)
	}
	return nil
}

// otherJob is the refusal to mix two jobs in one folder.
func otherJob(dir string, then, now *config.Resolved, had, has string) error {
	var what []string
	for _, d := range config.Differences(then, now) {
		what = append(what, d.String())
	}
	if more := len(what) - 6; more > 0 {
		what = append(what[:6], fmt.Sprintf("and %d more", more))
	}
	if len(what) == 0 {
		what = append(what, "it had another number of workers, which counts because train.strict is false")
	}
	return usage("%s holds another job (%.12s, this one is %.12s): %s\nname another folder with --run-dir, such as --run-dir %s-2, or discard what it holds with --fresh",
		dir, had, has, strings.Join(what, "; "), dir)
}

// wantEmpty refuses folders with other things in them: a run makes files and,
// with --fresh, removes them.
func (r *folder) wantEmpty() error {
	entries, err := os.ReadDir(r.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") {
			return usage("run folder %s is not empty and holds no run (%s, for instance); name a new folder with --run-dir", r.dir, e.Name())
		}
	}
	return nil
}

// clear removes a run, and nothing else, from the folder.
func (r *folder) clear() error {
	traces, err := filepath.Glob(r.path(traceFiles))
	if err != nil {
		return err
	}
	for _, path := range traces {
		if err := os.Remove(path); err != nil {
			return fmt.Errorf("discard the earlier run: %w", err)
		}
	}
	for _, name := range []string{report.PageFile, report.PlotFolder, report.EnvironmentFile, metrics.FileName, logFile, statusFile, reformFile, clusterFolder, checkpointFolder, fixedFolder, report.JobFile} {
		if err := os.RemoveAll(r.path(name)); err != nil {
			return fmt.Errorf("discard the earlier run: %w", err)
		}
	}
	return nil
}

// saved reports whether there is a checkpoint, complete or not.
func (r *folder) saved() (bool, error) {
	all, err := filepath.Glob(r.path(checkpointFolder + "/step-*"))
	all = slices.DeleteFunc(all, func(path string) bool { return strings.Contains(filepath.Base(path), ".tmp-") })
	return len(all) > 0, err
}

// readLog reads what earlier attempts recorded.
func (r *folder) readLog() error {
	log, err := metrics.ReadFile(r.path(metrics.FileName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%w; repair the file, or discard the run with --fresh", err)
	}
	r.log = log
	return nil
}

// done reports whether the run reached its last step.
func (r *folder) done() bool { return r.log.End != nil }

// begin writes down what is about to run. Where the number of workers changes
// results, it becomes part of the stored job.
func (r *folder) begin(job *config.Resolved, nproc int, features string) error {
	stored := *job
	if !job.Job.Train.Strict {
		stored.Job.Run.Nproc = config.Count(nproc)
	}
	text := append([]byte(jobMark), stored.YAML()...)
	if err := replaceFile(r.path(report.JobFile), text); err != nil {
		return err
	}
	return report.CurrentEnvironment(features).Save(r.dir)
}

// replaceFile writes a file whole or not at all.
func replaceFile(path string, text []byte) error {
	tmp := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".tmp")
	if err := os.WriteFile(tmp, text, 0o644); err != nil {
		return err
	}
	return os.Rename(tmp, path)
}
