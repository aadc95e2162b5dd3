package collective

import "math/bits"

// The tree. Leaves are numbered from 0. A tree of n > 1 leaves splits at the
// largest power of two below n: 5 leaves are ((0+1)+(2+3))+4. So a run of
// leaves that is as long as a power of two and begins at a multiple of it is
// a subtree of its own, which is why it does not matter who adds it.

// SumTree stores in dst the sum of srcs, elementwise, added along the tree.
// It is the definition that transports are tested against, and they are free
// to be faster. dst may be one of srcs.
func SumTree[T float32 | float64 | int64](dst []T, srcs ...[]T) {
	for i := range dst {
		dst[i] = sumAt(srcs, i)
	}
}

func sumAt[T float32 | float64 | int64](srcs [][]T, i int) T {
	if len(srcs) == 1 {
		return srcs[0][i]
	}
	p := TreeSplit(len(srcs))
	return sumAt(srcs[:p], i) + sumAt(srcs[p:], i)
}

// TreeSplit is how many of n leaves, n > 1, belong to the left subtree.
func TreeSplit(n int) int { return 1 << (bits.Len(uint(n-1)) - 1) }

// Tree is an order of additions: a binary tree over leaves that are numbered
// from the left. The left subtree is added up first, where that matters.
type Tree struct {
	Left, Right *Tree // nil for a leaf
	Leaves      int
}

// NewTree is the tree of SumTree over n leaves.
func NewTree(n int) *Tree {
	if n == 1 {
		return &Tree{Leaves: 1}
	}
	p := TreeSplit(n)
	return join(NewTree(p), NewTree(n-p))
}

func join(left, right *Tree) *Tree { return &Tree{left, right, left.Leaves + right.Leaves} }

// Levels is how many intermediate sums are kept at most while leaves are
// added, a left subtree before its right one.
func (t *Tree) Levels() int {
	if t.Left == nil {
		return 0
	}
	return max(t.Left.Levels(), t.Right.Levels()+1)
}

func (t *Tree) equal(u *Tree) bool {
	if t.Left == nil || u.Left == nil {
		return t.Leaves == u.Leaves
	}
	return t.Leaves == u.Leaves && t.Left.equal(u.Left) && t.Right.equal(u.Right)
}
