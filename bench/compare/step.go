package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/espalier-ml/espalier/bench/step"
)

func peerFlags(f *flag.FlagSet) *peer {
	p := &peer{}
	f.StringVar(&p.python, "python", "/usr/bin/python3", "python3 with PyTorch")
	f.StringVar(&p.scripts, "peers", "bench/peers", "folder of the peer's scripts")
	f.StringVar(&p.blas, "openblas", "/usr/lib/x86_64-linux-gnu/openblas-openmp", "folder with the OpenMP build of OpenBLAS, which PyTorch needs at two threads")
	return p
}

// setting is threads times workers.
type setting struct{ threads, workers int }

func (s setting) String() string {
	if s.workers > 1 {
		return fmt.Sprintf("%d workers", s.workers)
	}
	return fmt.Sprintf("%d thread", s.threads) + strings.Repeat("s", min(1, s.threads-1))
}

// parseSettings reads "1x1,2x1,1x2": threads times workers.
func parseSettings(text string) (all []setting, err error) {
	for s := range strings.SplitSeq(text, ",") {
		t, w, _ := strings.Cut(s, "x")
		threads, err := strconv.Atoi(t)
		workers, err2 := strconv.Atoi(w)
		if err != nil || err2 != nil || threads < 1 || workers < 1 {
			return nil, fmt.Errorf("-settings %q: want threads x workers such as 1x1,2x1,1x2", text)
		}
		all = append(all, setting{threads, workers})
	}
	return all, nil
}

func compareSteps(ctx context.Context, args []string) error {
	f := flag.NewFlagSet("compare step", flag.ContinueOnError)
	p := peerFlags(f)
	names := f.String("models", "resnet-20,vgg-11,mlp,lstm,transformer", "models, comma separated")
	settings := f.String("settings", "1x1,2x1,1x2", "threads x workers, comma separated")
	rounds := f.Int("rounds", 3, "times that both sides are measured")
	steps := f.Int("steps", 5, "timed steps each time")
	retries := f.Int("retries", 3, "further attempts when processors share a core")
	output := f.String("o", "", "Markdown file to write, besides standard output")
	if err := f.Parse(args); err != nil {
		return err
	}
	all, err := parseSettings(*settings)
	if err != nil {
		return err
	}
	out := io.Writer(os.Stdout)
	if *output != "" {
		file, err := os.Create(*output)
		if err != nil {
			return err
		}
		defer file.Close()
		out = io.MultiWriter(os.Stdout, file)
	}
	var rows []row
	for name := range strings.SplitSeq(*names, ",") {
		for _, s := range all {
			c := step.Case{Model: name, Threads: s.threads, Workers: s.workers, Steps: *steps, Warmup: 2}
			r, err := p.byTurns(ctx, c, s, *rounds, *retries)
			if err != nil {
				return err
			}
			fmt.Fprintln(os.Stderr, r)
			rows = append(rows, r)
		}
	}
	return write(out, rows, "go run ./bench/compare step "+strings.Join(args, " "))
}

// row is one case with all its measurements.
type row struct {
	c     step.Case
	s     setting
	ours  []step.Result
	peers map[string][]step.Result // by memory format
}

// byTurns measures ours, the peer, ours, the peer, …
func (p *peer) byTurns(ctx context.Context, c step.Case, s setting, rounds, retries int) (row, error) {
	r := row{c: c, s: s, peers: map[string][]step.Result{}}
	for range rounds {
		o := step.Options{Cases: []step.Case{c}, Self: self, Retries: retries}
		results, err := step.Run(ctx, o)
		if err != nil {
			return r, err
		}
		r.ours = append(r.ours, results...)
		c = results[0].Case // with the batch filled in
		for _, format := range formats(c.Model) {
			res, err := step.Attempt(c, retries, func() (step.Result, error) { return p.measure(ctx, c, format) })
			if err != nil {
				return r, err
			}
			if res.Params != results[0].Params {
				return r, fmt.Errorf("%s: %d parameters here, %d in PyTorch", c.Model, results[0].Params, res.Params)
			}
			r.peers[format] = append(r.peers[format], res)
		}
	}
	r.c = c
	return r, nil
}

// figures are the medians of several measurements of one side.
type figures struct {
	step, rss, start, first, share, peak float64
	n, invalid                           int
	ends                                 [2]float64
	imported                             float64
}

// summarise takes the medians over valid measurements, over all if none is.
func summarise(rs []step.Result) figures {
	valid := slices.DeleteFunc(slices.Clone(rs), func(r step.Result) bool { return r.Invalid != "" })
	f := figures{n: len(valid), invalid: len(rs) - len(valid)}
	if len(valid) == 0 {
		valid = rs
	}
	med := func(get func(step.Result) float64) float64 {
		var v []float64
		for _, r := range valid {
			v = append(v, get(r))
		}
		slices.Sort(v)
		return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
	}
	f.step = med(func(r step.Result) float64 { return r.StepMS.Median })
	f.rss = med(func(r step.Result) float64 { return r.PeakRSS })
	f.start = med(func(r step.Result) float64 { return r.StartMS })
	f.imported = med(func(r step.Result) float64 { return r.ImportMS })
	f.first = med(func(r step.Result) float64 { return r.FirstStepMS })
	f.share = med(func(r step.Result) float64 { return r.Share })
	f.peak = med(func(r step.Result) float64 { return max(r.Before.All, r.After.All) })
	f.ends = [2]float64{
		slices.MinFunc(valid, func(a, b step.Result) int { return cmp.Compare(a.StepMS.Min, b.StepMS.Min) }).StepMS.Min,
		slices.MaxFunc(valid, func(a, b step.Result) int { return cmp.Compare(a.StepMS.Max, b.StepMS.Max) }).StepMS.Max,
	}
	return f
}

// best is the peer's faster memory format.
func (r row) best() (format string, f figures) {
	for name, rs := range r.peers {
		if g := summarise(rs); format == "" || g.step < f.step {
			format, f = name, g
		}
	}
	return format, f
}

func (r row) String() string {
	ours := summarise(r.ours)
	format, theirs := r.best()
	return fmt.Sprintf("%s, %v: %.1f ms, %s %.1f ms, ratio %.2f", r.c.Model, r.s, ours.step, format, theirs.step, theirs.step/ours.step)
}
