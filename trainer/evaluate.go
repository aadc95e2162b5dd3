package trainer

import (
	"context"
	"fmt"

	"github.com/espalier-ml/espalier/collective"
	"github.com/espalier-ml/espalier/kernels"
	"github.com/espalier-ml/espalier/trainer/data"
	"github.com/espalier-ml/espalier/trainer/graph"
	"github.com/espalier-ml/espalier/trainer/metrics"
)

// Evaluator measures a network on held-out data.
type Evaluator struct {
	Device  kernels.Device
	Comm    collective.Comm // nil: alone
	Program *graph.Program
	Rows    int // of the program's batch
	Source  data.Source
}

// Evaluate runs the whole split once; ranks share its batches. The result is
// exact: sums over all rows in the order of batches, the same for every
// number of ranks. seq numbers the reduction.
func (e *Evaluator) Evaluate(ctx context.Context, seq uint64) (loss, accuracy float64, count int64, err error) {
	info := collective.Info{World: 1}
	if e.Comm != nil {
		info = e.Comm.Info()
	}
	n := e.Source.Samples()
	batches := (n + e.Rows - 1) / e.Rows
	sums := make([]float64, 3*batches)
	b := data.NewBatch(e.Source.Row(), e.Rows)
	buf := make([]float32, e.Program.Loss().Len())
	for i := int(info.Rank); i < batches; i += info.World {
		t, err := e.batch(b, data.Request{Cursor: uint64(i * e.Rows), N: e.Rows}, buf)
		if err != nil {
			return 0, 0, 0, err
		}
		copy(sums[3*i:], []float64{t.loss, t.hits, t.count})
	}
	if e.Comm != nil {
		w := e.Comm.AllReduce(collective.Float64s(sums), collective.Sum, collective.OpMeta{Seq: seq, Bucket: bucketEval})
		if err := w.Wait(ctx); err != nil {
			return 0, 0, 0, fmt.Errorf("evaluation: %w", err)
		}
	}
	var total tally
	for i := range batches {
		total.add(tally{sums[3*i], sums[3*i+1], sums[3*i+2]})
	}
	return total.meanLoss(), total.accuracy(), int64(total.count), nil
}

func (e *Evaluator) batch(b *data.Batch, req data.Request, buf []float32) (t tally, err error) {
	if err := e.Source.Fill(b, req); err != nil {
		return t, fmt.Errorf("evaluation: rows from %d: %w", req.Cursor, err)
	}
	if err := feed(e.Device, e.Program, *b); err != nil {
		return t, err
	}
	if err := e.Program.Run(&kernels.Env{}, nil); err != nil {
		return t, err
	}
	t, err = sumRows(e.Device, e.Program, buf)
	t.count = float64(b.Valid)
	return t, err
}

// evaluate measures the run's network and reports it.
func (r *Run) evaluate(ctx context.Context) error {
	p, err := r.net.evaluator()
	if err != nil {
		return err
	}
	e := Evaluator{r.cfg.Device, r.comm, p, r.cfg.EvalRows, r.cfg.Test}
	loss, acc, count, err := e.Evaluate(ctx, r.Step)
	if err != nil {
		return err
	}
	rec := &metrics.Eval{Step: int64(r.Step), Epoch: metrics.Number(r.epoch()), Seconds: metrics.Number(r.seconds()),
		Flops: metrics.Number(r.flops), Split: "test", Loss: metrics.Number(loss), Count: count}
	if r.cfg.Model.Sequence() {
		rec.Split = "val"
	} else {
		rec.Accuracy = metrics.Of(acc)
	}
	r.last = rec
	r.reportEval()
	return nil
}

// reportEval reports the last evaluation, once.
func (r *Run) reportEval() {
	if r.last != nil && r.last.Step > r.reported {
		r.reported = r.last.Step
		r.report(r.last)
	}
}

// atStep evaluates and saves where the plan says so, and saves before a stop.
// What was done before the communicator was lost is not done again.
func (r *Run) atStep(ctx context.Context, stop bool) error {
	due := func(every uint64) bool { return every > 0 && r.Step%every == 0 }
	end := r.Step == r.cfg.steps()
	if due(r.cfg.EvalEvery) || end {
		if r.last != nil && r.last.Step == int64(r.Step) {
			r.reportEval() // made by another rank, perhaps
		} else if err := r.evaluate(ctx); err != nil {
			return err
		}
	}
	if due(r.cfg.SaveEvery) || end || stop {
		return r.save()
	}
	r.remember()
	return nil
}
