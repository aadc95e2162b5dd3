package graph

import "github.com/espalier-ml/espalier/kernels"

// Flops is the number of floating point operations of all ops, multiply-adds
// counted as two; see kernels.Flops.
func (g *Graph) Flops() int64 {
	var n int64
	for _, op := range g.ops {
		n += kernels.Flops(op)
	}
	return n
}

// Work is the number of floating point operations of the ops that read each
// weight, of attention by the weight that makes its operand. The graph must be
// traced for evaluation.
func (g *Graph) Work() map[*Param]int64 {
	of, made := map[*kernels.Tensor]*Param{}, map[*kernels.Tensor]*Param{}
	for _, p := range g.params {
		of[p.W] = p
	}
	find := func(op kernels.Op, in map[*kernels.Tensor]*Param) *Param {
		for _, t := range op.Inputs() {
			if p := in[t.Root()]; p != nil && len(p.Axes) > 1 {
				return p
			}
		}
		return nil
	}
	work := map[*Param]int64{}
	for _, op := range g.ops {
		n := kernels.Flops(op)
		w := find(op, of)
		if w == nil {
			w = find(op, made)
		}
		if n == 0 || w == nil {
			continue
		}
		work[w] += n
		for _, t := range op.Outputs() {
			made[t.Root()] = w
		}
	}
	return work
}
