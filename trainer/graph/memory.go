package graph

import (
	"slices"

	"github.com/espalier-ml/espalier/kernels"
	"github.com/espalier-ml/espalier/kernels/arena"
)

// align is the alignment of tensors: a cache line.
const align = arena.Align

// live is a tensor without memory of its own and when it is needed.
type live struct {
	t     *kernels.Tensor
	block *arena.Block
}

// planArena gives every unplaced tensor of ops a place in one arena, such that
// tensors that live at the same time do not overlap, and returns its size.
func planArena(ops []kernels.Op, spans []kernels.Span) ([]live, int) {
	index := map[*kernels.Tensor]*arena.Block{}
	var lives []live
	var blocks []*arena.Block
	for i, op := range ops {
		for _, t := range slices.Concat(op.Inputs(), op.Outputs()) {
			r := t.Root()
			if r.Buf != nil {
				continue
			}
			b := index[r]
			if b == nil {
				b = &arena.Block{Bytes: r.Bytes(), First: spans[i].First, Last: spans[i].Last}
				index[r] = b
				lives, blocks = append(lives, live{r, b}), append(blocks, b)
			}
			b.First, b.Last = min(b.First, spans[i].First), max(b.Last, spans[i].Last)
		}
	}
	return lives, arena.Plan(blocks)
}
