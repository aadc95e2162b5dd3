package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"

	"github.com/espalier-ml/espalier/bench/step"
)

// compareLosses records some steps of each model and has PyTorch repeat them.
func compareLosses(ctx context.Context, args []string) error {
	f := flag.NewFlagSet("compare losses", flag.ContinueOnError)
	p := peerFlags(f)
	names := f.String("models", strings.Join(step.Models(), ","), "models to compare, comma separated")
	batch := f.Int("batch", 16, "samples of a step")
	steps := f.Int("steps", 10, "steps")
	tolerance := f.String("tolerance", "1e-3", "largest difference of a loss, in parts of the first")
	if err := f.Parse(args); err != nil {
		return err
	}
	var failed []error
	for name := range strings.SplitSeq(*names, ",") {
		if err := p.repeat(ctx, step.Case{Model: name, Batch: *batch, Steps: *steps, Threads: 2}, *tolerance); err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", name, err))
		}
	}
	return errors.Join(failed...)
}

func (p *peer) repeat(ctx context.Context, c step.Case, tolerance string) error {
	dir, err := os.MkdirTemp("", "losses")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := step.Record(ctx, c, dir); err != nil {
		return err
	}
	cmd := p.command(ctx, "compare_losses.py", dir, tolerance)
	cmd.Stdout = os.Stdout
	return cmd.Run()
}
