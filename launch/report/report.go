// Package report turns the record of a run into something to look at: a page
// that stands on its own (report.html), plots as SVG and PNG (plots/), and a
// result table for the terminal.
//
// It reads a run folder:
//
//	metrics.jsonl      what the trainer recorded (package trainer/metrics)
//	job.yaml           the resolved job file, if there
//	environment.json   machine and version (see [Environment]), if there
//
// Promises:
//
//   - report.html needs no other file and no network, works from file://, in
//     light and dark, on a phone and on paper.
//   - A run that is still going, was killed or diverged has a report too: what
//     is missing is named, values that are not finite are gaps with a note.
//   - Curves of any length are thinned to what can be seen: means with the
//     range they stand for, so that no spike is lost.
//   - Files appear whole or not at all.
//
// Left to others: measuring (trainer), progress while it runs
// (launch/progress), and which runs to compare (the command).
//
//	grown, err := report.Read("runs/digits")
//	fixed, err := report.Read("runs/digits/fixed")
//	err = report.Write("runs/digits", grown, fixed) // report.html, plots/*
//	err = report.Table(os.Stdout, grown, fixed)
package report

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/espalier-ml/espalier/trainer/metrics"
)

// Names of the files of a run folder that a report reads and writes.
const (
	JobFile         = "job.yaml"
	EnvironmentFile = "environment.json"
	PageFile        = "report.html"
	PlotFolder      = "plots"
)

// maxSide bounds job.yaml and environment.json; both are small by nature.
const maxSide = 1 << 20

// Run is a run as its folder tells it. Nothing here changes after Read.
type Run struct {
	// Dir is the folder it was read from.
	Dir string
	// Name tells the run from those it is compared with: "grown", "fixed".
	Name string
	Log  *metrics.Log
	// Job is the text of the resolved job file, "" if the folder has none.
	Job string
	// Environment is nil if the folder has none.
	Environment *Environment
}

// Read reads the run folder dir.
func Read(dir string) (*Run, error) {
	log, err := metrics.ReadFile(filepath.Join(dir, metrics.FileName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("report: %s: no %s; is this the folder of a run? %w", dir, metrics.FileName, fs.ErrNotExist)
	}
	if err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	r := &Run{Dir: dir, Name: filepath.Base(filepath.Clean(dir)), Log: log}
	if log.Start != nil && log.Start.Run != "" {
		r.Name = log.Start.Run
	}
	job, err := readSide(filepath.Join(dir, JobFile))
	if err != nil {
		return nil, err
	}
	r.Job = string(job)
	r.Environment, err = readEnvironment(filepath.Join(dir, EnvironmentFile))
	return r, err
}

// readSide reads a small file that may be missing.
func readSide(path string) ([]byte, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxSide+1))
	if err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	if len(b) > maxSide {
		return nil, fmt.Errorf("report: %s: more than %d bytes", path, maxSide)
	}
	return b, nil
}

// Write writes report.html and plots/ into dir. The first run is the one the
// report is about; the others are what it is compared with. At least one run
// is required.
func Write(dir string, runs ...*Run) error {
	if len(runs) == 0 {
		return errors.New("report: no run to report on")
	}
	page, err := Page(runs...)
	if err != nil {
		return err
	}
	if err := writeFile(filepath.Join(dir, PageFile), page); err != nil {
		return err
	}
	return writePlots(filepath.Join(dir, PlotFolder), runs)
}

// writeFile replaces path by data in one step: readers see the old file or
// the new one, also after a crash.
func writeFile(path string, data []byte) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("report: write %s: %w", path, err)
		}
	}()
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // fails once it is renamed
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close())
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
