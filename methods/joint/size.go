package joint

import (
	"fmt"

	"github.com/espalier-ml/espalier/trainer"
)

// Size is what a network of whole bits takes.
type Size struct {
	// Bytes of the whole network: codes, a scale of four bytes for every
	// output and a byte for the bits of every channel, and four for every
	// number that is not priced.
	Bytes float64
	// Flops of a sample, forward, without those of channels that are gone; a
	// channel of one of k templates counts as 1/k.
	Flops float64
	// Bits is the mean over priced weights, those that are gone included.
	Bits float64
	// Kept is the share of priced weights whose channels are there.
	Kept float64
}

func (s Size) String() string {
	return fmt.Sprintf("%.0f bytes, %.3g FLOPs a sample: %.1f %% of the weights are kept, %.3f bits in the mean", s.Bytes, s.Flops, 100*s.Kept, s.Bits)
}

// size counts: what was chosen at the switch, or what would be.
func (e *engine) size(chosen bool) (Size, error) {
	s := Size{Flops: e.plan.Flops, Bytes: 4 * float64(e.graph.ParamCount())}
	var all, kept, bits float64
	for _, l := range e.layers {
		levels, err := l.levels(e.dev, chosen, e.plan.Config.Group)
		if err != nil {
			return s, err
		}
		n := float64(l.weights())
		s.Bytes += float64(4*l.parts*l.outs+l.all()) - 4*float64(l.len())
		for _, b := range levels {
			all += n
			bits += n * float64(b)
			if b > 0 {
				kept += n
			} else {
				s.Flops -= 2 * n * e.plan.Uses[l.w.Name]
			}
		}
	}
	s.Bytes += bits / 8
	s.Bits, s.Kept = bits/all, kept/all
	return s, nil
}

// relaxed is the size in expectation: the price over λ, in bits of a mean
// weight, and the share of channels that is there.
func (e *engine) relaxed(beta float64) (bits, kept float64, err error) {
	for _, l := range e.layers {
		v, err := l.variables(e.dev)
		if err != nil {
			return 0, 0, err
		}
		share := float64(l.weights()) * e.plan.unit(l.w.Name) / e.total
		for _, x := range v {
			bits += share * x.Bits(beta)
			kept += share * x.Present(beta)
		}
	}
	return bits, kept, nil
}

// measure reports the finished network.
func (e *engine) measure(r *trainer.Run) error {
	s, err := e.size(true)
	if err != nil {
		return err
	}
	for name, v := range map[string]float64{"bytes": s.Bytes, "flops": s.Flops, "bits": s.Bits, "weights kept": s.Kept} {
		r.Measure(name, v)
	}
	return nil
}
