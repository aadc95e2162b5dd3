package collective

import (
	"math/bits"

	"github.com/espalier-ml/espalier/kernels/vec"
)

// Accumulator adds the gradients of a rank's own shards, one after another,
// along the tree of SumTree, in memory for about log2(shards) gradients. The
// additions of a shard may be done range by range while its backward pass
// goes on:
//
//	acc := collective.NewAccumulator(grad, shards)
//	for s := range shards {
//		g := acc.Buf()             // the pass writes shard s's gradient here
//		...
//		acc.Merge(lo, hi)          // elements [lo, hi) of g are final
//		if acc.Last() {            // and then so are those of grad
//			work = comm.AllReduce(collective.Float32s(grad[lo:hi]), ...)
//		}
//		...
//		acc.Next()
//	}
//
// It works like a binary counter: shard i is written to the slot whose number
// is the count of one bits in i, and carries ripple down. One goroutine at a
// time may use it.
type Accumulator struct {
	slots  [][]float32
	shards int
	shard  int
}

// NewAccumulator returns one that leaves the sum of the given number of
// shards in dst, which is also the first slot; the others are allocated here.
func NewAccumulator(dst []float32, shards int) *Accumulator {
	if shards < 1 {
		panic("collective: an accumulator of no shards")
	}
	depth := 1
	for i := range shards {
		depth = max(depth, bits.OnesCount(uint(i))+1)
	}
	a := &Accumulator{slots: make([][]float32, depth), shards: shards}
	a.slots[0] = dst
	for d := 1; d < depth; d++ {
		a.slots[d] = make([]float32, len(dst))
	}
	return a
}

// Shard is the number of the current shard, from 0.
func (a *Accumulator) Shard() int { return a.shard }

// Last reports whether the current shard is the last one.
func (a *Accumulator) Last() bool { return a.shard == a.shards-1 }

// Buf is where the current shard's gradient goes. It holds what an earlier
// shard left there, so that every parameter must be written, not added to.
// Padding that nobody writes stays zero.
func (a *Accumulator) Buf() []float32 { return a.slots[a.top()] }

// Merge says that elements [lo, hi) of the current shard's gradient are
// final, and adds what can be added. Each element must be merged once a shard.
func (a *Accumulator) Merge(lo, hi int) {
	d := a.top()
	for range a.carries() {
		vec.AddTo(a.slots[d-1][lo:hi], a.slots[d][lo:hi])
		d--
	}
}

// Next goes on to the next shard, or after the last one to the first of the
// next step.
func (a *Accumulator) Next() { a.shard = (a.shard + 1) % a.shards }

func (a *Accumulator) top() int { return bits.OnesCount(uint(a.shard)) }

// carries is how many additions the current shard completes.
func (a *Accumulator) carries() int {
	if a.Last() {
		return a.top()
	}
	return bits.TrailingZeros(^uint(a.shard))
}
