package grow

import (
	"github.com/espalier-ml/espalier/kernels/philox"
	"github.com/espalier-ml/espalier/trainer/graph"
)

// copyUnits widens as Net2WiderNet does (Chen et al., arXiv 1511.05641,
// algorithm 1): every new unit of a Dim is a copy of a random old one, and
// what a unit gives to others is divided by the number of its copies. Noise
// on the copies' incoming weights lets them part.
//
// The function stays the same but for the noise, except behind shortcuts
// without parameters, whose new channels are zero or other copies.
func (e *event) copyUnits(old, now *graph.Param, from, to []float32) {
	share := func(int) float32 { return 1 }
	if now.In >= 0 && now.Axes[now.In].Dim != nil {
		share = e.shares(old.Axes[now.In], now.Axes[now.In])
	}
	std := e.cfg.Noise * now.Std() // 0 for constants: biases, gains, statistics
	noise := e.draws(now.Name, "noise")
	walkFrom(old, now, e.source, func(at *place) {
		v := from[at.from] * share(at.in.old)
		if at.newOut && std > 0 {
			v += noise.normal(std, at.in.own, at.out.own, at.rest)
		}
		to[at.index] = v
	})
}

// source is the old unit of which a new unit of d, which had n, is a copy. It
// is the same for all parameters that mention d.
func (e *event) source(d *graph.Dim, n, unit int) int {
	key := philox.NewKey(e.seed, "grow/copy/"+d.Name).With(uint64(e.stage))
	return philox.Below(key.Index(uint64(unit))[0], n)
}

// shares gives, for an index on the old in axis, one over the number of units
// that now are what its unit was.
func (e *event) shares(old, now graph.Axis) func(index int) float32 {
	n := old.Dim.Size()
	copies := make([]int, n)
	for u := range now.Dim.Size() {
		if u < n {
			copies[u]++
		} else {
			copies[e.source(now.Dim, n, u)]++
		}
	}
	return func(index int) float32 { return 1 / float32(copies[old.Unit(index)]) }
}
