package step

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/espalier-ml/espalier/collective"
	"github.com/espalier-ml/espalier/collective/solo"
	"github.com/espalier-ml/espalier/kernels"
	"github.com/espalier-ml/espalier/kernels/cpu"
	"github.com/espalier-ml/espalier/trainer/checkpoint"
	"github.com/espalier-ml/espalier/trainer/graph"
)

// Recording is what a peer needs to repeat some steps, beside the weights and
// the batch in the file "start.safetensors".
type Recording struct {
	Model        string    `json:"model"`
	Batch        int       `json:"batch"`
	Params       int       `json:"params"`
	LearningRate float64   `json:"learning_rate"`
	Momentum     float64   `json:"momentum"`
	WeightDecay  float64   `json:"weight_decay"`
	Losses       []float64 `json:"losses"` // of each step, before its update
}

// Record trains a model for c.Steps steps on one batch and writes to dir the
// weights before the first step and the batch (start.safetensors), the first
// step's gradients (gradients.safetensors) and the losses (losses.json):
// bench/peers/compare_losses.py repeats them.
func Record(ctx context.Context, c Case, dir string) error {
	c, s, err := c.complete()
	if err != nil {
		return err
	}
	comm := solo.New(collective.Gen{})
	defer comm.Close(ctx)
	dev, err := cpu.New(cpu.Options{Threads: c.Threads})
	if err != nil {
		return err
	}
	defer dev.Close()
	e, err := newEngine(ctx, dev, comm, s.spec, c.Batch)
	if err != nil {
		return err
	}
	defer e.close()
	if err := e.exportStart(filepath.Join(dir, "start.safetensors")); err != nil {
		return err
	}
	rec := Recording{Model: c.Model, Batch: c.Batch, Params: e.graph.ParamCount(),
		LearningRate: learningRate, Momentum: momentum, WeightDecay: weightDecay}
	for i := range c.Steps {
		if err := e.step(); err != nil {
			return err
		}
		if i == 0 {
			if err := e.export(filepath.Join(dir, "gradients.safetensors"), func(p *graph.Param) *kernels.Tensor { return p.G }); err != nil {
				return err
			}
		}
		loss, err := e.loss()
		if err != nil {
			return err
		}
		rec.Losses = append(rec.Losses, loss)
	}
	data, err := json.Marshal(rec)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "losses.json"), data, 0o666)
}

// exportStart writes parameters and the batch ("x", "y"), indices as floats.
func (e *engine) exportStart(path string) error {
	var inputs []checkpoint.Tensor
	for _, name := range []string{"x", "y"} {
		t := e.prog.Input(name)
		values := make([]float32, t.Len())
		if t.DType == kernels.I32 {
			for i, v := range cpu.I32(t) {
				values[i] = float32(v)
			}
		} else if err := e.dev.ReadF32(t, values); err != nil {
			return err
		}
		inputs = append(inputs, checkpoint.Float32s(name, t.Shape, values))
	}
	return e.export(path, func(p *graph.Param) *kernels.Tensor { return p.W }, inputs...)
}

// export writes one tensor of every parameter, and others.
func (e *engine) export(path string, of func(*graph.Param) *kernels.Tensor, others ...checkpoint.Tensor) error {
	tensors := others
	for _, p := range e.graph.Params() {
		t := of(p)
		values := make([]float32, t.Len())
		if err := e.dev.ReadF32(t, values); err != nil {
			return err
		}
		tensors = append(tensors, checkpoint.Float32s(p.Name, p.W.Shape, values))
	}
	if err := checkpoint.Export(path, tensors, nil); err != nil {
		return fmt.Errorf("tensors for a peer: %w", err)
	}
	return nil
}
