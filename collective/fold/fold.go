// Package fold combines memory of several ranks along a tree: the arithmetic
// that all transports share, and the place where the order of additions is
// kept.
//
// # Promises
//
// Sums have the bits of the tree, float32, float64 and int64 alike; Max is
// that of the builtin max, so NaN wins. It works in blocks that stay in the
// first-level cache, so that memory is read once and written once, and
// allocates nothing once it has seen a tree.
//
// # Example
//
//	f := fold.New(4)
//	f.Follow(nil) // along collective.SumTree over the 4 ranks
//	for r := range 4 {
//		f.Leaf(r, memory[r])
//	}
//	f.Into(dst, collective.Float32, collective.Sum)
package fold

import (
	"github.com/espalier-ml/espalier/collective"
	"github.com/espalier-ml/espalier/kernels/vec"
)

// blockBytes is how much of each leaf is combined at a time.
const blockBytes = 4096

// Folder combines leaves. One goroutine at a time may use it.
type Folder struct {
	ranks  *collective.Tree // over ranks
	tree   *collective.Tree // to be followed
	leaves [][]byte
	cut    [][]byte // by leaf: the block in work
	blocks [][]byte // scratch, for each level of the tree
}

// New makes a folder for a world of ranks.
func New(world int) *Folder {
	f := &Folder{ranks: collective.NewTree(world)}
	f.Follow(nil)
	return f
}

// Follow begins a combination along the division's tree, or, if it is nil,
// along that over ranks.
func (f *Folder) Follow(d *collective.Division) {
	t := f.ranks
	if d != nil {
		t = d.Tree
	}
	if t == f.tree {
		return
	}
	f.tree = t
	for len(f.cut) < t.Leaves {
		f.leaves, f.cut = append(f.leaves, nil), append(f.cut, nil)
	}
	for len(f.blocks) < t.Levels() {
		f.blocks = append(f.blocks, make([]byte, blockBytes))
	}
}

// Leaf sets the memory of leaf i. All leaves are of one length, and aligned
// for the type they will be combined as.
func (f *Folder) Leaf(i int, mem []byte) { f.leaves[i] = mem }

// Into stores the combination of all leaves in dst, which is as long and may
// be one of them.
func (f *Folder) Into(dst []byte, t collective.DType, op collective.Op) {
	f.run(dst, nil, t, op)
}

// Share stores the combination in every leaf. Sums of gradients on few ranks
// have kernels of their own.
func (f *Folder) Share(t collective.DType, op collective.Op) {
	leaves := f.leaves[:f.tree.Leaves]
	if t == collective.Float32 && op == collective.Sum && f.tree == f.ranks {
		leaf := func(i int) []float32 { return vec.Of[float32](leaves[i]) }
		switch len(leaves) {
		case 2:
			vec.Share2(leaf(0), leaf(1))
			return
		case 4:
			vec.Share4(leaf(0), leaf(1), leaf(2), leaf(3))
			return
		}
	}
	f.ShareTo(leaves, t, op)
}

// ShareTo stores the combination in all of dsts, which may be leaves.
func (f *Folder) ShareTo(dsts [][]byte, t collective.DType, op collective.Op) {
	f.run(dsts[0], dsts[1:], t, op)
}

func (f *Folder) run(dst []byte, copies [][]byte, t collective.DType, op collective.Op) {
	combine := kernel(t, op)
	cut := f.cut[:f.tree.Leaves]
	for lo, n := 0, len(dst); lo < n; lo += blockBytes {
		hi := min(lo+blockBytes, n)
		for i := range cut {
			cut[i] = f.leaves[i][lo:hi]
		}
		first := dst[lo:hi]
		if f.tree.Left == nil {
			copy(first, cut[0])
		} else {
			left, right := f.halves(f.tree, cut, 0, combine)
			combine(first, left, right)
		}
		for _, d := range copies {
			copy(d[lo:hi], first)
		}
	}
}

// halves are the combinations of the left and the right half of leaves, in
// scratch blocks from a level on or, of a single leaf, where it is.
func (f *Folder) halves(t *collective.Tree, leaves [][]byte, level int, combine pair) (left, right []byte) {
	n := t.Left.Leaves
	return f.fold(t.Left, leaves[:n], level, combine), f.fold(t.Right, leaves[n:], level+1, combine)
}

func (f *Folder) fold(t *collective.Tree, leaves [][]byte, level int, combine pair) []byte {
	if t.Left == nil {
		return leaves[0]
	}
	left, right := f.halves(t, leaves, level, combine)
	dst := f.blocks[level][:len(leaves[0])]
	combine(dst, left, right)
	return dst
}

// Pair stores the combination of a and b in dst, which may be one of them.
func Pair(dst, a, b []byte, t collective.DType, op collective.Op) { kernel(t, op)(dst, a, b) }
