package trainer

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/espalier-ml/espalier/kernels"
	"github.com/espalier-ml/espalier/trainer/data"
	"github.com/espalier-ml/espalier/trainer/graph"
	"github.com/espalier-ml/espalier/trainer/metrics"
)

// step computes one step and commits it. Until ranks have agreed nothing is
// changed; behind it nothing waits for another rank. How long it waits for
// other ranks is a setting of the transport.
func (r *Run) step(ctx context.Context) (a agreed, err error) {
	batch, err := r.loader.Next(ctx)
	if err != nil {
		return a, fmt.Errorf("load the batch: %w", err)
	}
	r.control.begin(r.stop.Load(), r.regroup.Load())
	if err := r.backward(batch); err != nil {
		return a, err
	}
	if a, err = r.sum(ctx); err != nil {
		return a, err
	}
	if !a.total.finite() {
		return a, fmt.Errorf("%w: the loss is %v; try a lower learning rate or clipping", ErrDiverged, a.total.meanLoss())
	}
	if err := r.emit(Reduced); err != nil {
		return a, err
	}
	rate, norm, err := r.update()
	if err != nil {
		return a, err
	}
	r.flops += float64(r.net.prog.Flops) * float64(r.cfg.Shards)
	r.Step++
	r.commit()
	r.record(a.total, rate, norm)
	return a, nil
}

// sum waits for the gradients of all shards and for what all ranks say.
func (r *Run) sum(ctx context.Context) (a agreed, err error) {
	g := r.net.grads
	g.clock.waiting()
	defer g.clock.waited()
	if err := g.wait(ctx); err != nil {
		return a, err
	}
	if a, err = r.control.agree(ctx, r.Step); err == nil {
		g.place()
	}
	return a, err
}

// shards are those that this rank computes.
func (r *Run) shards() (lo, hi int) {
	rank := int(r.info.Rank)
	return rank * r.cfg.Shards / r.info.World, (rank + 1) * r.cfg.Shards / r.info.World
}

// backward computes the gradients of this rank's shards.
func (r *Run) backward(batch *data.Batch) error {
	lo, hi := r.shards()
	n := r.net
	n.grads.step = r.Step
	rows := batch.N / (hi - lo)
	perShard := n.prog.Loss().Len() // every row of a training batch has a target
	env := &r.env
	env.GradScale = float32(1 / float64(perShard*r.cfg.Shards))
	for shard := lo; shard < hi; shard++ {
		i := shard - lo
		if err := feed(r.cfg.Device, n.prog, batch.Rows(i*rows, (i+1)*rows)); err != nil {
			return err
		}
		env.Step, env.Shard = r.Step, shard
		if err := n.prog.Run(env, n.grads.onMark); err != nil {
			return err
		}
		n.grads.next()
		t, err := sumRows(r.cfg.Device, n.prog, n.rows)
		if err != nil {
			return err
		}
		t.count = float64(perShard)
		r.control.put(shard, t)
	}
	return nil
}

// feed copies a shard's rows into a program's inputs.
func feed(dev kernels.Device, p *graph.Program, b data.Batch) error {
	var err error
	if b.Tokens != nil {
		err = dev.WriteI32(p.Input("x"), b.Tokens)
	} else {
		err = dev.WriteF32(p.Input("x"), b.X)
	}
	if err != nil {
		return err
	}
	return dev.WriteI32(p.Input("y"), b.Y)
}

// sumRows adds the losses and hits of a program's rows in order. buf has one
// place a row.
func sumRows(dev kernels.Device, p *graph.Program, buf []float32) (t tally, err error) {
	if err := dev.ReadF32(p.Loss(), buf); err != nil {
		return t, err
	}
	for _, v := range buf {
		t.loss += float64(v)
	}
	if err := dev.ReadF32(p.Hit(), buf); err != nil {
		return t, err
	}
	for _, v := range buf {
		t.hits += float64(v)
	}
	return t, nil
}

// update applies the reduced gradients; it returns the step's rate and, where
// it was computed, the norm of the gradient.
func (r *Run) update() (rate, norm float64, err error) {
	if err := r.emit(Rates); err != nil {
		return 0, 0, err
	}
	env := &r.env
	rate = r.cfg.Optim.LR * r.cfg.schedule(r.Step)
	env.Rate, env.GradFactor, env.WeightDecay = float32(rate), 1, 1
	norm = math.NaN()
	if r.cfg.Clip > 0 || r.logs(r.Step+1) {
		sq, err := r.net.gradSquares(env)
		if err != nil {
			return 0, 0, err
		}
		norm = math.Sqrt(sq)
		if r.cfg.Clip > 0 && norm > r.cfg.Clip {
			env.GradFactor = float32(r.cfg.Clip / norm)
		}
	}
	return rate, norm, r.net.opt.Step(env, r.Step)
}

// logs reports whether the run records a measurement after n steps: the first
// few, then every LogEvery.
func (r *Run) logs(n uint64) bool {
	return n <= 3 || n%r.cfg.LogEvery == 0 || n == r.cfg.steps()
}

// window collects what is reported together.
type window struct {
	tally   tally
	samples int
	since   time.Time
	took    timing
}

// record adds a committed step to the window and reports it when due.
func (r *Run) record(t tally, rate, norm float64) {
	w, now := &r.window, time.Now()
	if w.samples == 0 {
		w.since = r.stepStarted
	}
	w.tally.add(t)
	w.samples += r.net.batch
	took := r.net.grads.clock.end(now.Sub(r.stepStarted))
	w.took.add(took)
	r.stepStarted = now
	r.progressed(took)
	if !r.logs(r.Step) {
		return
	}
	rec := &metrics.Train{Step: int64(r.Step), Epoch: metrics.Number(r.epoch()), Seconds: metrics.Number(r.seconds()),
		Samples: int64(r.Samples()), Loss: metrics.Number(w.tally.meanLoss()), LR: metrics.Number(rate),
		SamplesPerSec: metrics.Number(float64(w.samples) / time.Since(w.since).Seconds()),
		Flops:         metrics.Number(r.flops), GradNorm: metrics.Number(norm),
		World: r.info.World, Exposed: metrics.Number(w.took.exposedShare())}
	if !r.cfg.Model.Sequence() {
		rec.Accuracy = metrics.Of(w.tally.accuracy())
	}
	r.report(rec)
	*w = window{}
}

func (r *Run) epoch() float64 { return float64(r.Samples()) / float64(r.cfg.Train.Samples()) }
