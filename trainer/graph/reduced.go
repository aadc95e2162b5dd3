package graph

import (
	"slices"

	"github.com/espalier-ml/espalier/kernels"
)

// Reduced is a tensor that must be summed over all shards of a step: the
// gradient of a parameter or the batch statistics of a normalisation.
type Reduced struct {
	Name string
	T    *kernels.Tensor
	Last int // index of the last op that touches it
}

// Reduced lists what must be summed, in the order in which the program is done
// with it: from the last layer to the first. A sum over ranks is made in
// place, so statistics must wait until the backward pass has read them.
func (g *Graph) Reduced() []Reduced {
	last := map[*kernels.Tensor]int{}
	for i, op := range g.ops {
		for _, t := range slices.Concat(op.Inputs(), op.Outputs()) {
			last[t.Root()] = i
		}
	}
	var out []Reduced
	for _, s := range g.stats {
		out = append(out, Reduced{s.batch.Name, s.batch, last[s.batch]})
	}
	for _, p := range g.params {
		if !p.Local {
			out = append(out, Reduced{p.Name, p.G, last[p.G]})
		}
	}
	slices.SortStableFunc(out, func(a, b Reduced) int { return a.Last - b.Last })
	return out
}

// MarkBuckets inserts a mark behind the last op that touches each bucket; bucket
// i holds the given tensors. Call it once, before Compile.
func (g *Graph) MarkBuckets(buckets [][]Reduced) {
	at := map[int][]kernels.Op{}
	for id, b := range buckets {
		m := &kernels.Mark{ID: id}
		end := 0
		for _, r := range b {
			m.After = append(m.After, r.T)
			end = max(end, r.Last)
		}
		at[end] = append(at[end], m)
	}
	var ops []kernels.Op
	for i, op := range g.ops {
		ops = append(append(ops, op), at[i]...)
	}
	g.ops = ops
}

// Running is one running statistic and the batch statistic that feeds it.
type Running struct {
	State *Param
	Batch *kernels.Tensor
	Scale float32 // multiplies the batch value: unbiased over biased variance
}

// Running lists the running statistics of a training graph.
func (g *Graph) Running() []Running {
	out := make([]Running, len(g.stats))
	for i, s := range g.stats {
		out[i] = Running{s.running, s.batch, s.scale}
	}
	return out
}
