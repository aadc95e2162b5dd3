package main

import (
	"fmt"
	"io"

	"github.com/espalier-ml/espalier/trainer/metrics"
)

// display shows a run while it goes on and remembers how far it is.
type display struct {
	out         io.Writer
	step, steps int64
}

func (t *training) newDisplay(f *folder) *display {
	d := &display{out: t.app.stderr}
	if t.flags.quiet {
		d.out = io.Discard
	}
	if s := f.log.Start; s != nil {
		d.steps = s.Steps
	}
	return d
}

func (d *display) Record(r metrics.Record) {
	d.step = max(d.step, r.At())
	switch r := r.(type) {
	case *metrics.Start:
		d.steps = r.Steps
		fmt.Fprintf(d.out, "%s: %s, %d workers\n", r.Job, r.Model, r.World)
	case *metrics.Train:
		fmt.Fprintf(d.out, "step %d/%d loss %.4f %.0f samples/s\n", r.Step, d.steps, r.Loss, r.SamplesPerSec)
	case *metrics.Eval:
		fmt.Fprintf(d.out, "step %d/%d %s loss %.4f\n", r.Step, d.steps, r.Split, r.Loss)
	case *metrics.Event:
		fmt.Fprintf(d.out, "step %d/%d %s %s\n", r.Step, d.steps, r.Event, r.Text)
	}
}

func (d *display) Close() {}
