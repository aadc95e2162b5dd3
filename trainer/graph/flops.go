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
