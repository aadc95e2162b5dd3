package step

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

// ErrUsage says that a measurement cannot be made as asked for.
var ErrUsage = errors.New("bench step")

// usual are the models that are measured when none is named.
var usual = []string{"resnet-20", "vgg-11", "mlp", "lstm", "transformer"}

// Main is the command `bench step`: it measures the cases that args name and
// prints one line for each, JSON with -json. self are the arguments with which
// the same program reaches Main again.
func Main(ctx context.Context, self, args []string, out io.Writer) error {
	f := flag.NewFlagSet("bench step", flag.ContinueOnError)
	f.SetOutput(out)
	var (
		names    = f.String("model", strings.Join(usual, ","), fmt.Sprintf("models, comma separated, of %v", Models()))
		threads  = f.String("threads", "1", "computing threads of a worker; several, comma separated, are cases of their own")
		workers  = f.String("workers", "1", "worker processes, comma separated like threads")
		batch    = f.Int("batch", 0, "samples of each worker, 0 for the model's usual one")
		steps    = f.Int("steps", 0, "timed steps, 0 for 10")
		retries  = f.Int("retries", 3, "further attempts when processors share a core")
		convs    = f.Bool("convolutions", false, "measure convolutions of unusual shapes instead of models")
		asJSON   = f.Bool("json", false, "print JSON lines")
		caseJSON = f.String("case", "", "measure one case as a worker; for this program's own use")
	)
	if err := f.Parse(args); errors.Is(err, flag.ErrHelp) {
		return err
	} else if err != nil {
		return fmt.Errorf("%w: %w", ErrUsage, err)
	}
	switch {
	case *caseJSON != "":
		return Worker(ctx, *caseJSON, out)
	case f.NArg() > 0:
		return fmt.Errorf("%w: argument %q is not understood", ErrUsage, f.Arg(0))
	}
	show := printer(out, *asJSON)
	if *convs {
		return Convolutions(func(k Kernel) { show(k, k.String()) })
	}
	cases, err := product(*names, *threads, *workers, Case{Batch: *batch, Steps: *steps})
	if err != nil {
		return err
	}
	_, err = Run(ctx, Options{Cases: cases, Self: self, Retries: *retries, Each: func(r Result) { show(r, r.String()) }})
	return err
}

func printer(out io.Writer, asJSON bool) func(v any, line string) {
	return func(v any, line string) {
		if asJSON {
			json.NewEncoder(out).Encode(v) // plain data
			return
		}
		fmt.Fprintln(out, line)
	}
}

// product makes a case of every combination.
func product(models, threads, workers string, base Case) ([]Case, error) {
	var cases []Case
	for name := range strings.SplitSeq(models, ",") {
		for w := range strings.SplitSeq(workers, ",") {
			for t := range strings.SplitSeq(threads, ",") {
				c := base
				c.Model = name
				var err error
				if c.Workers, err = strconv.Atoi(w); err != nil {
					return nil, fmt.Errorf("%w: --workers %q: want numbers", ErrUsage, workers)
				}
				if c.Threads, err = strconv.Atoi(t); err != nil {
					return nil, fmt.Errorf("%w: --threads %q: want numbers", ErrUsage, threads)
				}
				if c, _, err = c.complete(); err != nil {
					return nil, err
				}
				if !slices.Contains(cases, c) {
					cases = append(cases, c)
				}
			}
		}
	}
	return cases, nil
}

// String is the result as a line for people.
func (r Result) String() string {
	s := fmt.Sprintf("%-10s %-12s %dt x %dw  batch %-4d %8.1f ms [%.1f..%.1f] %s  %9.0f %s  %6.1f GFLOP/s %3.0f %% of %.0f  %6.1f MB  start %.0f ms  allocs %.1f  peak %.0f/%.0f %.0f/%.0f",
		r.Peer, r.Model, r.Threads, r.Workers, r.Batch, r.StepMS.Median, r.StepMS.Min, r.StepMS.Max, r.Clock,
		r.Rate, r.RateUnit, r.GFLOPS, r.Share, max(r.Before.All, r.After.All), r.PeakRSS, r.StartMS, r.AllocsPerStep,
		r.Before.One, r.Before.All, r.After.One, r.After.All)
	if r.Invalid != "" {
		s += "  INVALID: " + r.Invalid
	}
	return s
}
