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
	// Units says where the units of Dims come from whose units are not merely
	// added behind the old ones; optimizer state follows it.
	Units graph.Units
	// Fill sets a parameter or running statistic of the changed network from
	// its old values, both in row-major order.
	Fill Filler
	// FillState, when set, may set optimizer state that was made otherwise:
	// to holds what was carried. slot counts those of optim.Config.Slots.
	FillState func(slot int, old, now *graph.Param, from, to []float32)
	// Born counts a new growth stage: its entries have age 0. Optimizer
	// state of old entries is kept; that of new ones is zero.
	Born bool
	// ResetState makes all optimizer state zero and all ages 0.
	ResetState bool
}

// Filler makes the values of a tensor shaped like parameter now from those of
// the same parameter before the change.
type Filler func(old, now *graph.Param, from, to []float32)

// stateFiller makes the values of an optimizer slot.
type stateFiller func(slot int, old, now *graph.Param, from, to []float32)

// carry copies old entries to their place and leaves the rest zero: what
// happens to optimizer state.
func carry(old, now *graph.Param, from, to []float32) {
	clear(to)
	graph.Embed(old, now, func(i, j int) { to[j] = from[i] })
}

func carryState(_ int, old, now *graph.Param, from, to []float32) { carry(old, now, from, to) }

func forget(_ int, _, _ *graph.Param, _, to []float32) { clear(to) }

// state is what the mutation makes of optimizer state.
func (m *Mutation) state() stateFiller {
	switch {
	case m.ResetState:
		return forget
	case m.Units == nil && m.FillState == nil:
		return carryState
	}
	return func(slot int, old, now *graph.Param, from, to []float32) {
		clear(to)
		graph.Select(old, now, m.Units, func(i, j int) { to[j] = from[i] })
		if m.FillState != nil {
			m.FillState(slot, old, now, from, to)
		}
	}
}

// mutate changes the network as proposed.
func (r *Run) mutate(ctx context.Context, m *Mutation) error {
	began := time.Now()
	births := slices.Clone(r.Births)
	if m.Born {
		births = append(births, r.Step)
	}
	if m.ResetState {
		for i := range births {
			births[i] = r.Step
		}
	}
	if err := r.rebuild(ctx, m.Sizes, births, m.Fill, m.state()); err != nil {
		return err
	}
	e := &metrics.Event{Step: int64(r.Step), Seconds: metrics.Number(r.seconds()), Event: m.Event, Text: m.Text,
		Dims: dims(r.net.graph), Params: int64(r.net.graph.ParamCount()), Batch: r.net.batch,
		TookMS: metrics.Number(time.Since(began).Seconds() * 1e3)}
	r.report(e)
	return nil
}

// rebuild compiles the network at other sizes, or for another batch, and
// carries its values over. The old network is kept until the new one is
// complete, so a failure changes nothing.
func (r *Run) rebuild(ctx context.Context, sizes graph.Sizes, births []uint64, values Filler, state stateFiller) error {
	old := r.net
	now, err := newNetwork(ctx, &r.cfg, r.comm, sizes, r.cfg.batch(r.Step), births)
	if err != nil {
		return err
	}
	if err := transfer(old, now, values, state); err != nil {
		now.close()
		return err
	}
	r.net, r.Births = now, births
	old.close()
	return old.grads.free(ctx)
}

// transfer fills the new network from the old one.
func transfer(old, now *network, values Filler, state stateFiller) error {
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
			fill := func(p, q *graph.Param, from, to []float32) { state(k, p, q, from, to) }
			if err := move(e.Param, f.Param, e.Slots[k], f.Slots[k], fill); err != nil {
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
