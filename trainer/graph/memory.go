package graph

import (
	"cmp"
	"slices"

	"github.com/espalier-ml/espalier/kernels"
)

// block is a tensor that needs arena memory from group first to group last.
type block struct {
	t           *kernels.Tensor
	bytes       int
	first, last int
	off         int
}

// align is the alignment of tensors; stagger is added between large ones, so
// that equal-sized tensors do not start at equal addresses modulo large powers
// of two (some processors predict cache ways from those bits).
const (
	align   = 64
	stagger = 17 * 64
)

// planArena gives every unplaced tensor of ops an offset such that tensors
// that live at the same time do not overlap, and returns the arena's size.
// Largest first, each at the lowest free offset: simple, and within a few
// percent of the peak of live bytes for feed-forward networks.
func planArena(ops []kernels.Op, spans []kernels.Span) ([]block, int) {
	blocks := liveBlocks(ops, spans)
	slices.SortStableFunc(blocks, func(a, b block) int {
		return cmp.Or(cmp.Compare(b.bytes, a.bytes), cmp.Compare(a.first, b.first))
	})
	size := 0
	placed := make([]block, 0, len(blocks)) // by offset
	for i := range blocks {
		b := &blocks[i]
		b.off = lowestGap(placed, b)
		size = max(size, b.off+b.bytes)
		at, _ := slices.BinarySearchFunc(placed, b.off, func(p block, off int) int { return cmp.Compare(p.off, off) })
		placed = slices.Insert(placed, at, *b)
	}
	return blocks, size
}

// liveBlocks collects the tensors without memory and their lifetimes.
func liveBlocks(ops []kernels.Op, spans []kernels.Span) []block {
	index := map[*kernels.Tensor]int{}
	var blocks []block
	for i, op := range ops {
		for _, t := range slices.Concat(op.Inputs(), op.Outputs()) {
			r := t.Root()
			if r.Buf != nil {
				continue
			}
			k, ok := index[r]
			if !ok {
				k = len(blocks)
				index[r] = k
				n := (r.Bytes() + align - 1) &^ (align - 1)
				if n >= 4096 {
					n += stagger
				}
				blocks = append(blocks, block{t: r, bytes: n, first: spans[i].First, last: spans[i].Last})
			}
			blocks[k].first = min(blocks[k].first, spans[i].First)
			blocks[k].last = max(blocks[k].last, spans[i].Last)
		}
	}
	return blocks
}

// lowestGap is the lowest offset at which b meets no placed block alive at
// the same time. placed is sorted by offset.
func lowestGap(placed []block, b *block) int {
	off := 0
	for i := range placed {
		p := &placed[i]
		if p.last < b.first || p.first > b.last {
			continue
		}
		if p.off >= off+b.bytes {
			break
		}
		off = max(off, p.off+p.bytes)
	}
	return off
}
