package step

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"

	"github.com/espalier-ml/espalier/kernels/cpu"
	"github.com/espalier-ml/espalier/launch/supervise"
	"github.com/espalier-ml/espalier/trainer/graph"
	"github.com/espalier-ml/espalier/trainer/models"
)

// Options say what to measure.
type Options struct {
	Cases []Case
	// Self are the arguments with which this program reaches Main, or
	// Worker; the case is appended.
	Self []string
	// Retries are further attempts at a case whose processors share a core.
	Retries int
	// Each, when not nil, gets every result as soon as it is there.
	Each func(Result)
	// Env is added to the environment of the workers.
	Env []string
}

// Run measures every case in processes of its own.
func Run(ctx context.Context, o Options) ([]Result, error) {
	var results []Result
	for _, c := range o.Cases {
		c, _, err := c.complete()
		if err != nil {
			return results, err
		}
		r, err := Attempt(c, o.Retries, func() (Result, error) { return measure(ctx, o, c) })
		if err != nil {
			return results, fmt.Errorf("%s, %d threads, %d workers: %w", c.Model, c.Threads, c.Workers, err)
		}
		results = append(results, r)
		if o.Each != nil {
			o.Each(r)
		}
	}
	return results, nil
}

// Attempt measures a case and the peaks around it, again while the processors
// share a core. The last attempt counts.
func Attempt(c Case, retries int, measure func() (Result, error)) (r Result, err error) {
	for range retries + 1 {
		before := Calibrate(c)
		if r, err = measure(); err != nil {
			return r, err
		}
		if err = r.Around(before, Calibrate(c)); err != nil || r.Invalid == "" {
			return r, err
		}
	}
	return r, err
}

// Calibrate measures the peak of one thread and of all threads of a case.
func Calibrate(c Case) Peak {
	n := max(1, c.Threads) * max(1, c.Workers)
	p := Peak{One: cpu.FMAPeak(1), N: n}
	p.All = p.One
	if n > 1 {
		p.All = cpu.FMAPeak(n)
		p.One = max(p.One, cpu.FMAPeak(1))
	}
	return p
}

// measure runs the workers of a case; rank 0 prints the result.
func measure(ctx context.Context, o Options, c Case) (Result, error) {
	arg, err := json.Marshal(c)
	if err != nil {
		return Result{}, err
	}
	var out bytes.Buffer
	spec := supervise.Spec{
		Args:  append(append([]string{}, o.Self...), "-case", string(arg)),
		World: c.Workers, Env: o.Env, Stdout: &out, Stderr: os.Stderr,
	}
	if c.Workers > 1 && c.Workers*c.Threads <= runtime.NumCPU() {
		spec.CPUs = supervise.SplitCPUs(c.Workers)
	}
	if err := supervise.Run(ctx, spec); err != nil {
		return Result{}, err
	}
	var r Result
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		return r, errors.Join(fmt.Errorf("worker printed %q", out.String()), err)
	}
	return r, nil
}

// gflop is the work of a step of all workers.
func gflop(s subject, c Case) (float64, error) {
	g, err := models.Trace(s.specOf(c.Model), graph.Config{Train: true}, c.Batch)
	if err != nil {
		return 0, err
	}
	return float64(g.Flops()) * float64(c.Workers) / 1e9, nil
}
