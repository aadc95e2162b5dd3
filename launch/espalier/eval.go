package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/spf13/cobra"

	"github.com/espalier-ml/espalier/collective"
	"github.com/espalier-ml/espalier/collective/solo"
	"github.com/espalier-ml/espalier/kernels"
	"github.com/espalier-ml/espalier/kernels/cpu"
	"github.com/espalier-ml/espalier/trainer"
	"github.com/espalier-ml/espalier/trainer/data"
	"github.com/espalier-ml/espalier/trainer/graph"
	"github.com/espalier-ml/espalier/trainer/metrics"
)

// evalResult is the JSON object of eval.
type evalResult struct {
	TestAccuracy *metrics.Number `json:"test_accuracy,omitempty"`
	TestLoss     *metrics.Number `json:"test_loss,omitempty"`
	ValLoss      *metrics.Number `json:"val_loss,omitempty"`
	Count        int64           `json:"count"` // images or tokens
	Params       int             `json:"params"`
	Step         uint64          `json:"step"`
	Seconds      float64         `json:"seconds"`
	Digest       string          `json:"digest"`
	Checkpoint   string          `json:"checkpoint"`
}

func (a *app) evalCommand() *cobra.Command {
	var threads int
	var dataDir string
	c := &cobra.Command{
		Use:   "eval RUN|CHECKPOINT|PACKED",
		Short: "Measure a trained network on its test data",
		Long: `Eval measures the newest checkpoint of a run folder, a single checkpoint folder,
or a file written by export --packed, on the whole test split (validation text
for language models). A packed network computes with integers.` + "\n" + exitHelp,
		Example: "  espalier eval runs/digits\n  espalier eval runs/digits/checkpoints/step-00000420 --json",
		Args:    cobra.ExactArgs(1),
	}
	c.Flags().IntVar(&threads, "threads", runtime.NumCPU(), "number `N` of threads")
	c.Flags().StringVar(&dataDir, "data", "", "folder `DIR` of data sets")
	c.RunE = func(c *cobra.Command, args []string) error {
		if threads < 1 {
			return usage("--threads %d: want 1 or more", threads)
		}
		if isFile(args[0]) {
			return a.evalPacked(c.Context(), args[0], dataDir, threads)
		}
		t, err := a.openTrained(args[0], dataDir)
		if err != nil {
			return err
		}
		return a.eval(c.Context(), t, threads)
	}
	return c
}

func (a *app) eval(ctx context.Context, t *trained, threads int) error {
	ctx, release := untilSignal(ctx)
	defer release()
	began := time.Now()
	dev, err := cpu.New(cpu.Options{Threads: threads})
	if err != nil {
		return err
	}
	defer dev.Close()
	rows := min(t.job.Job.Eval.Rows, t.cfg.Test.Samples())
	g, err := t.graph(rows)
	if err != nil {
		return err
	}
	free, err := t.place(dev, g)
	if err != nil {
		return err
	}
	defer free()
	loss, acc, count, err := measure(ctx, dev, g, rows, t.cfg.Test)
	if err != nil {
		return err
	}
	r := &evalResult{Count: count, Params: g.ParamCount(), Step: t.state.Meta.Step, Seconds: time.Since(began).Seconds(),
		Digest: t.state.Meta.Digest.String(), Checkpoint: t.path}
	a.report(r, t.cfg.Model.Sequence(), loss, acc)
	fmt.Fprintf(a.out(), "%d parameters, step %d, %s\n", r.Params, r.Step, r.Checkpoint)
	return nil
}

// measure runs a placed graph over the whole source.
func measure(ctx context.Context, dev kernels.Device, g *graph.Graph, rows int, source data.Source) (loss, accuracy float64, count int64, err error) {
	prog, err := g.Compile(dev)
	if err != nil {
		return 0, 0, 0, err
	}
	defer prog.Close()
	comm := solo.New(collective.Gen{})
	defer comm.Close(ctx)
	e := trainer.Evaluator{Device: dev, Comm: comm, Program: prog, Rows: rows, Source: source}
	return e.Evaluate(ctx, 0)
}

// place gives the graph's parameters and statistics memory with the
// checkpoint's values.
func (t *trained) place(dev *cpu.Device, g *graph.Graph) (free func() error, err error) {
	all := append(g.Params()[:len(g.Params()):len(g.Params())], g.States()...)
	size := 0
	for _, p := range all {
		p.W.Off = size
		size += (p.W.Bytes() + 63) &^ 63
	}
	buf, err := dev.Alloc(size)
	if err != nil {
		return nil, err
	}
	for _, p := range all {
		p.W.Buf = buf
		v, err := t.values(p)
		if err == nil {
			err = dev.WriteF32(p.W, v)
		}
		if err != nil {
			return nil, errors.Join(err, buf.Close())
		}
	}
	return buf.Close, nil
}
