package report

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/espalier-ml/espalier/kernels/philox"
	"github.com/espalier-ml/espalier/trainer/metrics"
)

// synthetic describes a run that was never trained but looks as if: a small
// residual network on the digits, learning as such networks do.
type synthetic struct {
	run    string
	seed   uint64
	stages [][3]int // widths of s1, s2, s3 by stage
	epochs int
	every  int  // steps between train records
	text   bool // a language model: no accuracy
	stopAt int64
}

var (
	syntheticGrown = synthetic{run: "grown", seed: 1, stages: [][3]int{{8, 16, 32}, {10, 20, 40}, {12, 24, 48}, {14, 28, 56}, {16, 32, 64}}, epochs: 40, every: 5}
	syntheticFixed = synthetic{run: "fixed", seed: 2, stages: [][3]int{{16, 32, 64}}, epochs: 40, every: 5}
)

const (
	syntheticSamples = 3823
	syntheticBatch   = 64
)

// params counts roughly what a ResNet of such widths has.
func (synthetic) params(w [3]int) int64 {
	n := 9*w[0] + 6*9*w[0]*w[0] + 9*w[0]*w[1] + 5*9*w[1]*w[1] + 9*w[1]*w[2] + 5*9*w[2]*w[2] + 10*w[2]
	return int64(n)
}

// flopsPerSample is the work of a step for one sample.
func (synthetic) flopsPerSample(w [3]int) float64 {
	return 6 * (64*float64(9*w[0]+6*9*w[0]*w[0]) + 16*float64(9*w[0]*w[1]+5*9*w[1]*w[1]) + 4*float64(9*w[1]*w[2]+5*9*w[2]*w[2]))
}

func (s synthetic) dims(w [3]int) map[string]int {
	return map[string]int{"s1": w[0], "s2": w[1], "s3": w[2], "s1.b0.mid": w[0], "s1.b1.mid": w[0], "s2.b0.mid": w[1], "s3.b0.mid": w[2]}
}

// records tells the whole run.
func (s synthetic) records() []metrics.Record {
	perEpoch := (syntheticSamples + syntheticBatch - 1) / syntheticBatch
	steps := int64(perEpoch * s.epochs)
	key := philox.NewKey(s.seed, "synthetic metrics")
	noise := func(step int64, what uint32) float64 {
		w := key.At(philox.Counter{uint32(step), what, 0, 0})
		return (float64(w[0])+float64(w[1])+float64(w[2]))/math.MaxUint32*2/3 - 1 // within ±1, bell-shaped
	}
	full := s.stages[len(s.stages)-1]
	width := s.stages[0]
	fixed := s.flopsPerSample(full) * float64(syntheticSamples*s.epochs)
	rs := []metrics.Record{&metrics.Start{Time: 1767261600, Job: "digits", Run: s.run, Model: "resnet-20", World: 2, Threads: 1, Shards: 4,
		Params: s.params(width), ParamsFull: s.params(full), Steps: steps, Samples: int64(syntheticSamples * s.epochs),
		FixedTrainFlops: metrics.Number(fixed), Epochs: metrics.Number(s.epochs), Stages: len(s.stages), Dims: s.dims(width)}}
	var seconds, flops float64
	var samples int64
	shock := 0.0
	for step := int64(1); step <= steps; step++ {
		epoch := float64(step) / float64(perEpoch)
		progress := float64(step) / float64(steps)
		rate := 3.1e9/s.flopsPerSample(width) + 900
		rate *= 1 + 0.03*noise(step, 1)
		seconds += syntheticBatch / rate
		flops = flops + s.flopsPerSample(width)*syntheticSamples/float64(perEpoch)
		samples = min(samples+syntheticBatch, int64(math.Ceil(epoch))*syntheticSamples)
		shock *= 0.97
		base := 2.3*math.Exp(-epoch*0.85) + 0.55*math.Exp(-epoch*0.16) + 0.004 + shock
		lr := 0.1 * (1 + math.Cos(math.Pi*progress)) / 2 * min(1, epoch/2)
		loss := base * (1 + 0.28*noise(step, 2))
		accuracy := math.Round(syntheticBatch*max(0, min(1, 1-0.39*math.Pow(loss, 0.95)))) / syntheticBatch
		if step%int64(s.every) == 0 || step == steps {
			r := &metrics.Train{Step: step, Epoch: metrics.Number(epoch), Seconds: metrics.Number(seconds), Samples: samples, Loss: metrics.Number(loss),
				LR: metrics.Number(lr), SamplesPerSec: metrics.Number(rate), Flops: metrics.Number(flops), GradNorm: metrics.Number(0.3 + 2.5*math.Sqrt(base)*(1+0.3*noise(step, 3)))}
			if !s.text {
				r.Accuracy = metrics.Of(accuracy)
			}
			rs = append(rs, round(r))
		}
		if step%int64(perEpoch) == 0 {
			held := base*1.05 + 0.045 + 0.01*noise(step, 4)
			e := &metrics.Eval{Step: step, Epoch: metrics.Number(epoch), Seconds: metrics.Number(seconds), Flops: metrics.Number(flops), Split: "test", Loss: metrics.Number(held), Count: 1797}
			if s.text {
				e.Split = "val"
			} else {
				e.Accuracy = metrics.Of(math.Round(1797*(1-0.31*held)) / 1797)
			}
			rs = append(rs, e)
		}
		if step%int64(5*perEpoch) == 0 && step < steps {
			rs = append(rs, &metrics.Event{Step: step, Seconds: metrics.Number(seconds), Event: metrics.EventCheckpoint, TookMS: 4.2})
		}
		if stage := int(progress * float64(len(s.stages)) * 1.12); stage < len(s.stages) && s.stages[stage] != width {
			old := width
			width = s.stages[stage]
			shock = 0.08
			rs = append(rs, &metrics.Event{Step: step, Seconds: metrics.Number(seconds), Event: metrics.EventGrow, Text: fmt.Sprintf("stage %d, width × %.2f", stage+1, float64(width[0])/float64(old[0])),
				Dims: s.dims(width), Params: s.params(width), TookMS: 2.6, Batch: syntheticBatch})
		}
		if step == s.stopAt {
			return rs
		}
	}
	end := &metrics.End{Step: steps, Seconds: metrics.Number(seconds), Params: s.params(width), TrainFlops: metrics.Number(flops), FixedTrainFlops: metrics.Number(fixed),
		Samples: samples, World: 2, Digest: "9f2c4e0a77b1d35e8a6604c1f0d29b3e5b7c1a9d"}
	last := rs[len(rs)-1].(*metrics.Eval)
	end.TestAccuracy = last.Accuracy
	if s.text {
		end.ValLoss = &last.Loss
	}
	return append(rs, end)
}

// round keeps what a reader of the file would want to see.
func round(r *metrics.Train) *metrics.Train {
	for _, x := range []*metrics.Number{&r.Epoch, &r.Seconds, &r.Loss, &r.LR, &r.SamplesPerSec, &r.GradNorm} {
		*x = metrics.Number(math.Round(float64(*x)*1e6) / 1e6)
	}
	return r
}

// save writes records into a new run folder and returns it.
func save(t testing.TB, dir string, rs []metrics.Record) string {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	w, err := metrics.Open(filepath.Join(dir, metrics.FileName))
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	for _, r := range rs {
		if err := w.Write(r); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// load reads a run folder.
func load(t testing.TB, dir string) *Run {
	t.Helper()
	r, err := Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	return r
}
