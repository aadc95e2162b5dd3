package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strconv"
	"sync"
	"time"

	"github.com/espalier-ml/espalier/launch/supervise"
	"github.com/espalier-ml/espalier/trainer/metrics"
)

// stopGrace is how long workers may take to finish the step in flight and to
// save when they are asked to stop.
const stopGrace = 2 * time.Minute

// many runs a job in worker processes.
func (t *training) many(ctx context.Context, dir string, nproc, threads int) error {
	args := []string{"worker", "--threads", strconv.Itoa(threads)}
	spec := supervise.Spec{World: nproc, Stderr: t.display, Stdout: &recordReader{show: t.display.Handle, rest: t.display}, Grace: stopGrace, Log: t.log}
	if all := len(processors()); nproc*threads <= all {
		spec.CPUs = supervise.SplitCPUs(nproc)
	} else {
		args = append(args, "--crowded")
	}
	spec.Args = append(args, dir)
	err := supervise.Run(ctx, spec)
	var worker *supervise.WorkerError
	if errors.As(err, &worker) && !t.app.json {
		brief := *worker
		brief.Tail = nil // these lines were passed on already
		return &brief
	}
	return err
}

// recordReader takes rank 0's standard output apart into records.
type recordReader struct {
	show func(metrics.Record)
	rest io.Writer // for what is no record
	mu   sync.Mutex
	part []byte
}

func (r *recordReader) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.part = append(r.part, p...)
	for {
		i := bytes.IndexByte(r.part, '\n')
		if i < 0 {
			return len(p), nil
		}
		if rec, err := metrics.Decode(r.part[:i]); err == nil {
			r.show(rec)
		} else {
			r.rest.Write(r.part[:i+1])
		}
		r.part = r.part[i+1:]
	}
}
