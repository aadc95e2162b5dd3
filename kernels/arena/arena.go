// Package arena shares one piece of memory among blocks that live at
// different times: the intermediate results of a step, the scratch memory of a
// backend.
//
// Time is counted in groups, such as the phases of a schedule; a block lives
// from its first to its last group. [Plan] is a pure function: equal blocks
// get equal offsets everywhere. Allocating the memory is left to the caller.
package arena

import (
	"cmp"
	"slices"
)

// Align is the alignment of every block: a cache line.
const Align = 64

// stagger is added behind blocks of a page and more, so that blocks of equal
// size do not start at equal addresses modulo large powers of two: some
// processors predict cache ways from those bits.
const stagger = 17 * 64

// Block is a request for memory from group First to group Last, inclusive.
// Plan sets Off.
type Block struct {
	Bytes       int
	First, Last int
	Off         int
}

// footprint is the memory that a block takes.
func (b *Block) footprint() int {
	n := (b.Bytes + Align - 1) &^ (Align - 1)
	if n >= 4096 {
		n += stagger
	}
	return n
}

func (b *Block) meets(c *Block) bool { return b.First <= c.Last && c.First <= b.Last }

// Plan gives every block an offset such that blocks that live at the same time
// do not overlap, and returns the size of the whole. Largest first, each at
// the lowest free offset: simple, and within a few percent of the peak of live
// bytes for feed-forward networks.
func Plan(blocks []*Block) int {
	order := slices.Clone(blocks)
	slices.SortStableFunc(order, func(a, b *Block) int {
		return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(a.First, b.First))
	})
	size := 0
	placed := make([]*Block, 0, len(order)) // by offset
	for _, b := range order {
		b.Off = lowestGap(placed, b)
		size = max(size, b.Off+b.footprint())
		at, _ := slices.BinarySearchFunc(placed, b.Off, func(p *Block, off int) int { return cmp.Compare(p.Off, off) })
		placed = slices.Insert(placed, at, b)
	}
	return size
}

// lowestGap is the lowest offset at which b meets no placed block.
func lowestGap(placed []*Block, b *Block) int {
	off := 0
	for _, p := range placed {
		if !p.meets(b) {
			continue
		}
		if p.Off >= off+b.footprint() {
			break
		}
		off = max(off, p.Off+p.footprint())
	}
	return off
}
