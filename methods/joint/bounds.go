package joint

import (
	"math"

	"github.com/espalier-ml/espalier/kernels/lowbit"
	"github.com/espalier-ml/espalier/methods/quantize"
)

// A gate and the size of its weights say the same, and behind a norm the size
// of a whole layer says nothing. What would let gates close while the network
// computes as before is therefore bound in the search: channels keep their norm,
// and one gate of every weight stays open.

// remember keeps the norms of the channels as the search begins.
func (e *engine) remember() error {
	for _, l := range e.layers {
		w := e.weights[:l.len()]
		if err := e.dev.ReadF32(l.w.W, w); err != nil {
			return err
		}
		if err := e.dev.WriteF32(l.norm.W, l.norms(w)); err != nil {
			return err
		}
	}
	return nil
}

// norms are |W| of every channel.
func (l *layer) norms(w []float32) []float32 {
	squares := make([]float64, l.all())
	l.each(func(_, at, channel int) {
		for _, x := range w[at:][:l.outs] {
			squares[channel] += float64(x) * float64(x)
		}
	})
	norms := make([]float32, len(squares))
	for c, s := range squares {
		norms[c] = float32(math.Sqrt(s))
	}
	return norms
}

// project keeps weights within the outermost level, |W| ≤ 2 - σ(s), and in the
// search channels at their norm.
func (e *engine) project(l *layer, search bool) error {
	w := e.weights[:l.len()]
	if err := e.dev.ReadF32(l.w.W, w); err != nil {
		return err
	}
	if search {
		norms, err := read(e.dev, l.norm.W)
		if err != nil {
			return err
		}
		for c, now := range l.norms(w) {
			if now > 0 && norms[c] > 0 {
				norms[c] /= now
			} else {
				norms[c] = 1
			}
		}
		l.scaleBy(w, norms)
	} else if lowbit.MaxAbs(w) <= 1 { // below every limit
		return nil
	}
	v, err := l.variables(e.dev)
	if err != nil {
		return err
	}
	l.each(func(_, at, channel int) {
		limit := float32(quantize.Limit(v[channel].Precision))
		row := w[at:][:l.outs]
		for i, x := range row {
			row[i] = max(-limit, min(limit, x))
		}
	})
	return e.dev.WriteF32(l.w.W, w)
}

// anchor keeps the widest gate of a weight where it began, or wider.
func (e *engine) anchor(l *layer) error {
	gates, err := read(e.dev, l.gate.value.W)
	if err != nil {
		return err
	}
	top := 0
	for c, g := range gates {
		if g > gates[top] {
			top = c
		}
	}
	gates[top] = max(gates[top], float32(e.plan.Config.Gate))
	return e.dev.WriteF32(l.gate.value.W, gates)
}
