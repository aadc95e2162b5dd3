package main

import (
	"io"

	"github.com/espalier-ml/espalier/launch/progress"
	"github.com/espalier-ml/espalier/trainer/metrics"
)

// display shows a run while it goes on and remembers how far it is. Log lines
// and what workers write to their standard error go through Write.
type display struct {
	io.Writer
	progress    *progress.Progress // nil when quiet
	step, steps int64
}

// newDisplay shows what comes after the record so far.
func newDisplay(stderr io.Writer, quiet bool, log *metrics.Log) *display {
	d := &display{Writer: stderr}
	if s := log.Start; s != nil {
		d.steps = s.Steps
	}
	if !quiet {
		d.progress = progress.New(stderr, progress.Options{})
		d.progress.Recall(log)
		d.Writer = d.progress
	}
	return d
}

// Handle takes in a record.
func (d *display) Handle(r metrics.Record) {
	d.step = max(d.step, r.At())
	if s, ok := r.(*metrics.Start); ok {
		d.steps = s.Steps
	}
	if d.progress != nil {
		d.progress.Handle(r)
	}
}

// Close leaves the last state on the screen.
func (d *display) Close() {
	if d.progress != nil {
		d.progress.Close()
	}
}
