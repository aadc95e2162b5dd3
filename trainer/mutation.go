package trainer

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/espalier-ml/espalier/kernels"
	"github.com/espalier-ml/espalier/trainer/graph"
	"github.com/espalier-ml/espalier/trainer/metrics"
)

// Mutation is a change of the network at a step boundary. It is made by all
// ranks or by none, from values that all ranks have; nothing is sent.
type Mutation struct {
	// Event names the change in the record: "grow".
	Event string
	Text  string
	// Sizes is the shape afterwards.
	Sizes graph.Sizes
	// Fill sets a parameter or running statistic of the changed network from
	// its old values, both in row-major order.
	Fill Filler
	// Born counts a new growth stage: its entries have age 0. Optimizer
	// state of old entries is kept; that of new ones is zero.
	Born bool
	// ResetState makes all optimizer state zero and all ages 0.
	ResetState bool
}

// Filler makes the values of a tensor shaped like parameter now from those of
// the same parameter before the change.
type Filler func(old, now *graph.Param, from, to []float32)

// carry copies old entries to their place and leaves the rest zero: what
// happens to optimizer state.
func carry(old, now *graph.Param, from, to []float32) {
	clear(to)
	graph.Embed(old, now, func(i, j int) { to[j] = from[i] })
}

func forget(_, _ *graph.Param, _, to []float32) { clear(to) }

// mutate changes the network as proposed.
func (r *Run) mutate(ctx context.Context, m *Mutation) error {
	began := time.Now()
	births := slices.Clone(r.Births)
	if m.Born {
		births = append(births, r.Step)
	}
	state := carry
	if m.ResetState {
		state = forget
		for i := range births {
			births[i] = r.Step
		}
	}
	if err := r.rebuild(ctx, m.Sizes, births, m.Fill, state); err != nil {
		return err
	}
	e := &metrics.Event{Step: int64(r.Step), Seconds: metrics.Number(r.seconds()), Event: m.Event, Text: m.Text,
		Dims: dims(r.net.graph), Params: int64(r.net.graph.ParamCount()), Batch: r.net.batch,
		TookMS: metrics.Number(time.Since(began).Seconds() * 1e3)}
	r.cfg.Report(e)
	return nil
}

// rebuild compiles the network at other sizes, or for another batch, and
// carries its values over. The old network is kept until the new one is
// complete, so a failure changes nothing.
func (r *Run) rebuild(ctx context.Context, sizes graph.Sizes, births []uint64, values, state Filler) error {
	old := r.net
	now, err := newNetwork(ctx, &r.cfg, sizes, r.cfg.batch(r.Step), births)
	if err != nil {
		return err
	}
	if err := transfer(old, now, values, state); err != nil {
		now.close(ctx)
		return err
	}
	old.close(ctx)
	r.net, r.Births = now, births
	return nil
}

// transfer fills the new network from the old one.
func transfer(old, now *network, values, state Filler) error {
	dev := now.cfg.Device
	move := func(p, q *graph.Param, from, to *kernels.Tensor, fill Filler) error {
		a, b := old.host[:from.Len()], now.host[:to.Len()]
		if err := dev.ReadF32(from, a); err != nil {
			return err
		}
		fill(p, q, a, b)
		return dev.WriteF32(to, b)
	}
	ps, qs := old.all(), now.all()
	for i, p := range ps {
		if err := move(p, qs[i], p.W, qs[i].W, values); err != nil {
			return err
		}
	}
	for i, e := range old.opt.Entries {
		f := now.opt.Entries[i]
		for k := range e.Slots {
			if err := move(e.Param, f.Param, e.Slots[k], f.Slots[k], state); err != nil {
				return err
			}
		}
	}
	return keepScalars(old, now)
}

// keepScalars carries the optimizer's scalars. Where its state was reset they
// are not read before they are made anew.
func keepScalars(old, now *network) error {
	dev, one := now.cfg.Device, now.host[:1]
	for _, x := range old.opt.Scalars {
		for _, y := range now.opt.Scalars {
			if x.Name != y.Name {
				continue
			}
			if err := errors.Join(dev.ReadF32(x.T, one), dev.WriteF32(y.T, one)); err != nil {
				return err
			}
		}
	}
	return nil
}

// dims are the widths of a network by name.
func dims(g *graph.Graph) map[string]int {
	m := map[string]int{}
	for _, d := range g.Dims() {
		m[d.Name] = d.Size()
	}
	return m
}
