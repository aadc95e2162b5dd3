package joint

import (
	"errors"

	"github.com/espalier-ml/espalier/kernels/lowbit"
	"github.com/espalier-ml/espalier/trainer"
	"github.com/espalier-ml/espalier/trainer/graph"
)

// fix chooses bits for good.
func (e *engine) fix() error {
	for _, l := range e.layers {
		bits, err := l.levels(e.dev, false, e.plan.Config.Group)
		if err != nil {
			return err
		}
		v := make([]float32, len(bits))
		for c, b := range bits {
			v[c] = float32(b)
		}
		if err := e.dev.WriteF32(l.bits.W, v); err != nil {
			return err
		}
	}
	return nil
}

// hard are the gains of channels of whole bits: c, or 0.
func (e *engine) hard(bits []int) []float32 {
	open := float32(e.plan.Config.factor())
	g := make([]float32, len(bits))
	for c, b := range bits {
		if b > 0 {
			g[c] = open
		}
	}
	return g
}

// round has the network compute with the bits of its channels: those that were
// chosen, or, after a step of the search, those that would be, under the gates
// of that step. Channels of no bits are 0. fold makes what it computes with
// the weights' own.
func (e *engine) round(chosen bool, step uint64, fold bool) error {
	if err := e.setMode(modeRound); err != nil {
		return err
	}
	for _, l := range e.layers {
		bits, err := l.levels(e.dev, chosen, e.plan.Config.Group)
		if err != nil {
			return err
		}
		gains := e.hard(bits)
		if !chosen {
			v, err := l.variables(e.dev)
			if err != nil {
				return err
			}
			for c, g := range e.gains(v, e.plan.Beta(step)) {
				gains[c] = min(gains[c], g)
			}
		}
		w, err := e.load(l, gains)
		if err != nil {
			return err
		}
		m := l.scales(w)
		l.round(w, m, bits)
		err = errors.Join(e.dev.WriteF32(l.scale.W, m), e.dev.WriteF32(l.used.W, w))
		if fold {
			err = errors.Join(err, e.dev.WriteF32(l.w.W, w))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// round rounds w in place.
func (l *layer) round(w, scale []float32, bits []int) {
	type level struct{ part, bits int }
	rounders := map[level]*lowbit.Rounder{}
	l.each(func(part, at, channel int) {
		row, b := w[at:][:l.outs], bits[channel]
		if b == 0 {
			clear(row)
			return
		}
		r := rounders[level{part, b}]
		if r == nil {
			r = lowbit.NewRounder(b, scale[part*l.outs:][:l.outs])
			rounders[level{part, b}] = r
		}
		r.Round(row)
	})
}

// pass makes the summed gradients of what the network computes with those of
// its weights, behind the switch.
func (e *engine) pass() error {
	for _, l := range e.layers {
		bits, err := l.levels(e.dev, true, 0)
		if err != nil {
			return err
		}
		grad := e.other[:l.len()]
		if err := e.dev.ReadF32(l.w.G, grad); err != nil {
			return err
		}
		l.scaleBy(grad, e.hard(bits))
		if err := e.dev.WriteF32(l.w.G, grad); err != nil {
			return err
		}
	}
	return nil
}

// pack ends the sending of gradients of channels that are gone. Every rank
// knows them, so the sums are the same.
func (e *engine) pack(r *trainer.Run) error {
	if r.Packed() {
		return nil
	}
	open := map[string][]bool{}
	for _, l := range e.layers {
		bits, err := l.levels(e.dev, true, 0)
		if err != nil {
			return err
		}
		keep := make([]bool, l.len())
		l.each(func(_, at, channel int) {
			for i := range keep[at:][:l.outs] {
				keep[at+i] = bits[channel] > 0
			}
		})
		open[l.w.Name] = keep
	}
	return r.Pack(func(p *graph.Param) []bool { return open[p.Name] })
}
