package sparsify

import (
	"fmt"

	"github.com/espalier-ml/espalier/trainer"
	"github.com/espalier-ml/espalier/trainer/graph"
)

// pack ends the sending of gradients of closed gates, which are zero, once
// gates are hard. Every rank knows the mask, so the sums are the same.
func pack(r *trainer.Run) error {
	if r.Packed() {
		return nil
	}
	open := map[string][]bool{}
	for _, l := range layers(r.Graph()) {
		v, err := read(r.Device(), l.gate.W)
		if err != nil {
			return err
		}
		keep := make([]bool, len(v))
		for i, g := range v {
			keep[i] = g != 0
		}
		open[l.w.Name] = keep
	}
	if err := r.Pack(func(p *graph.Param) []bool { return open[p.Name] }); err != nil {
		return err
	}
	sent, dense := r.GradientBytes()
	r.Note("packed", fmt.Sprintf("%d bytes of gradients are summed over ranks in a step, not %d", sent, dense))
	return nil
}
