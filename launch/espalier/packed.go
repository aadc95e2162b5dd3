package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/espalier-ml/espalier/bench/infer"
	"github.com/espalier-ml/espalier/kernels/cpu"
	"github.com/espalier-ml/espalier/methods/quantize"
	"github.com/espalier-ml/espalier/methods/quantize/onnx"
	"github.com/espalier-ml/espalier/methods/quantize/packed"
	"github.com/espalier-ml/espalier/trainer/data"
	"github.com/espalier-ml/espalier/trainer/metrics"
)

// pack makes a packed network of a quantized run.
func (t *trained) pack() (*packed.Network, error) {
	q := t.job.Job.Quantize
	if q == nil {
		return nil, fmt.Errorf("%s was not quantized: train with a quantize section, or export without --packed", t.path)
	}
	n, err := packed.Pack(&packed.Source{Model: t.cfg.Model, Sizes: t.sizes, Activations: quantize.Activations(q.Activations),
		Data: t.job.Job.Data.Name, Step: t.state.Meta.Step, Values: t.named})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", t.path, err)
	}
	return n, nil
}

// named finds a tensor of the checkpoint by name alone.
func (t *trained) named(name string) ([]float32, bool) {
	c, ok := t.state.Find(name)
	if !ok {
		return nil, false
	}
	v := make([]float32, len(c.Data)/4)
	return v, c.CopyFloat32s(v) == nil
}

// packedResult is the JSON object of export --packed.
type packedResult struct {
	File       string  `json:"file"`
	Layout     string  `json:"layout"`
	Layers     int     `json:"layers"`
	Weights    int     `json:"weights"` // of packed layers
	Bits       float64 `json:"bits"`    // of them, mean, without scales
	Bytes      int64   `json:"bytes"`   // of the file
	FloatBytes int64   `json:"float_bytes"`
	Step       uint64  `json:"step"`
	Checkpoint string  `json:"checkpoint"`
}

func (a *app) exportPacked(t *trained, out string) error {
	n, err := t.pack()
	if err != nil {
		return err
	}
	if err := n.Write(out); err != nil {
		return err
	}
	info, err := os.Stat(out)
	if err != nil {
		return err
	}
	g, err := t.graph(1)
	if err != nil {
		return err
	}
	r := &packedResult{File: out, Layout: "packed", Layers: len(n.Layers), Weights: n.Weights(), Bits: n.Bits(), Bytes: info.Size(),
		FloatBytes: 4 * int64(g.ParamCount()), Step: n.Step, Checkpoint: t.path}
	a.result = r
	fmt.Fprintf(a.out(), "%s: %d packed layers, %.3f bits a weight, %d bytes, %.1f times smaller than float32\n",
		out, r.Layers, r.Bits, r.Bytes, float64(r.FloatBytes)/float64(r.Bytes))
	return nil
}

// exportONNX writes an ONNX file: the network's own weights in float32, or a
// quantized run's integers.
func (a *app) exportONNX(t *trained, out string, kind onnx.Type) error {
	g, err := t.graph(1)
	if err != nil {
		return err
	}
	o := onnx.Options{Name: t.job.Job.Name, Type: kind, Values: t.named,
		Metadata: [][2]string{{"model", t.cfg.Model.Name}, {"digest", t.state.Meta.Digest.String()}}}
	if kind != onnx.Float {
		if o.Packed, err = t.pack(); err != nil {
			return err
		}
	}
	file, err := onnx.Encode(g, o)
	if err != nil {
		return fmt.Errorf("%s: %w", t.path, err)
	}
	if err := os.WriteFile(out, file, 0o644); err != nil {
		return err
	}
	a.result = &exportResult{out, "onnx " + string(kind), len(g.Params()) + len(g.States()), g.ParamCount(), t.state.Meta.Step, t.path}
	fmt.Fprintf(a.out(), "%s: ONNX, weights in %s, %d bytes, step %d\n", out, kind, len(file), t.state.Meta.Step)
	return nil
}

// isFile reports whether the network is a packed file rather than a folder.
func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// evalPacked measures a packed network on the test data that its file names.
func (a *app) evalPacked(ctx context.Context, path, dataDir string, threads int) error {
	ctx, release := untilSignal(ctx)
	defer release()
	began := time.Now()
	n, err := packed.Read(path)
	if err != nil {
		return err
	}
	set, err := data.Opener{Dir: dataDir}.Open(n.Data)
	if err != nil {
		return err
	}
	test, err := set.Evaluation(data.Options{Window: n.Model.Context})
	if err != nil {
		return err
	}
	inner, err := cpu.New(cpu.Options{Threads: threads})
	if err != nil {
		return err
	}
	defer inner.Close()
	dev := packed.NewDevice(n, inner, threads)
	rows := min(256, test.Samples())
	g, err := n.Trace(rows)
	if err != nil {
		return err
	}
	free, err := n.Place(dev, g)
	if err != nil {
		return err
	}
	defer free()
	loss, acc, count, err := measure(ctx, dev, g, rows, test)
	if err != nil {
		return err
	}
	r := &evalResult{Count: count, Params: g.ParamCount(), Step: n.Step, Seconds: time.Since(began).Seconds(), Checkpoint: path}
	a.report(r, n.Model.Sequence(), loss, acc)
	fmt.Fprintf(a.out(), "%d of %d parameters packed, %.3f bits a weight, activations of %d\n", n.Weights(), r.Params, n.Bits(), n.Activations)
	return nil
}

// report prints what was measured.
func (a *app) report(r *evalResult, sequence bool, loss, acc float64) {
	if sequence {
		r.ValLoss = metrics.Of(loss)
		fmt.Fprintf(a.out(), "validation loss %.4f nats over %d tokens\n", loss, r.Count)
	} else {
		r.TestLoss, r.TestAccuracy = metrics.Of(loss), metrics.Of(acc)
		fmt.Fprintf(a.out(), "test accuracy %.2f %%, loss %.4f over %d images\n", 100*acc, loss, r.Count)
	}
	a.result = r
}

// benchInfer measures layers at inference.
func (a *app) benchInfer() *cobra.Command {
	var threads int
	var dataDir string
	var least time.Duration
	c := &cobra.Command{
		Use:   "infer [FILE|RUN]",
		Short: "Measure layers at inference, packed against int8 and float32",
		Long: `Infer measures every packed layer of a file written by export --packed, or of a
quantized run, at batch 1: packed weights, the same layer in 8 bits, in float32,
and what the machine could do. Without a network it measures usual shapes with
weights of 1 to 8 bits.` + "\n" + exitHelp,
		Example: "  espalier bench infer\n  espalier bench infer digits.packed --threads 2 --json",
		Args:    cobra.MaximumNArgs(1),
	}
	c.Flags().IntVar(&threads, "threads", 1, "number `N` of threads")
	c.Flags().StringVar(&dataDir, "data", "", "folder `DIR` of data sets")
	c.Flags().DurationVar(&least, "time", 50*time.Millisecond, "`TIME` that each figure is measured for")
	c.RunE = func(_ *cobra.Command, args []string) error {
		if threads < 1 {
			return usage("--threads %d: want 1 or more", threads)
		}
		if least <= 0 {
			return usage("--time %v: want more than 0", least)
		}
		o := infer.Options{Threads: threads, Least: least, Each: func(r infer.Result) { fmt.Fprintln(a.out(), r) }}
		if len(args) == 1 {
			n, err := a.openPacked(args[0], dataDir)
			if err != nil {
				return err
			}
			o.Network = n
		}
		results, err := infer.Run(o)
		a.result = map[string]any{"layers": results}
		return err
	}
	return c
}

// openPacked reads a packed file or packs a run.
func (a *app) openPacked(path, dataDir string) (*packed.Network, error) {
	if isFile(path) {
		return packed.Read(path)
	}
	t, err := a.openTrained(path, dataDir)
	if err != nil {
		return nil, err
	}
	return t.pack()
}
