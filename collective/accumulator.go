package collective

import (
	"math/bits"

	"github.com/espalier-ml/espalier/kernels/vec"
)

// Accumulator adds the gradients of a rank's own shards, one after another,
// to the sums of the rank's parts, each along the tree of SumTree, in memory
// for about log2(shards) gradients. The additions of a shard may be done range
// by range while its backward pass goes on:
//
//	parts := collective.Parts(shards, world, rank)
//	acc := collective.NewAccumulator(grads, parts) // grads[i] is for parts[i]
//	for range acc.Shards() {
//		g := acc.Buf()             // the pass writes the next shard's gradient here
//		...
//		acc.Merge(lo, hi)          // elements [lo, hi) of g are final
//		if acc.Last() {            // and then so are those of all of grads
//			for i := range grads {
//				bufs[i] = collective.Float32s(grads[i][lo:hi])
//			}
//			work = comm.SumShards(bufs, shards, ...)
//		}
//		...
//		acc.Next()
//	}
//
// It works like a binary counter: shard i of a part is written to the slot
// whose number is the count of one bits in i, and carries ripple down. One
// goroutine at a time may use it.
type Accumulator struct {
	dsts  [][]float32 // by part: its sum, and slot 0
	parts []Part
	spare [][]float32 // slots from 1, which all parts use
	part  int         // that of the current shard
	shard int         // within its part
}

// NewAccumulator returns one that leaves the sum over the shards of parts[i]
// in dsts[i], all of one length. What else it needs is allocated here.
func NewAccumulator(dsts [][]float32, parts []Part) *Accumulator {
	if len(parts) == 0 || len(dsts) != len(parts) {
		panic("collective: an accumulator wants one destination for each part, and one part at least")
	}
	spare := 0
	for _, p := range parts {
		if p.Shards() < 1 {
			panic("collective: an accumulator of a part without shards")
		}
		for i := range p.Shards() {
			spare = max(spare, bits.OnesCount(uint(i)))
		}
	}
	a := &Accumulator{dsts: dsts, parts: parts, spare: make([][]float32, spare)}
	for d := range a.spare {
		a.spare[d] = make([]float32, len(dsts[0]))
	}
	return a
}

// Shards is the number of shards of all parts.
func (a *Accumulator) Shards() int {
	n := 0
	for _, p := range a.parts {
		n += p.Shards()
	}
	return n
}

// Shard is the number of the current shard among those of the step.
func (a *Accumulator) Shard() int { return a.parts[a.part].Lo + a.shard }

// Last reports whether the current shard is the last one.
func (a *Accumulator) Last() bool { return a.part == len(a.parts)-1 && a.lastOfPart() }

func (a *Accumulator) lastOfPart() bool { return a.shard == a.parts[a.part].Shards()-1 }

// Buf is where the current shard's gradient goes. It holds what an earlier
// shard left there, so that every parameter must be written, not added to.
// Padding that nobody writes stays zero.
func (a *Accumulator) Buf() []float32 { return a.slot(a.top()) }

func (a *Accumulator) slot(i int) []float32 {
	if i == 0 {
		return a.dsts[a.part]
	}
	return a.spare[i-1]
}

// Merge says that elements [lo, hi) of the current shard's gradient are
// final, and adds what can be added. Each element must be merged once a shard.
func (a *Accumulator) Merge(lo, hi int) {
	d := a.top()
	for range a.carries() {
		vec.AddTo(a.slot(d - 1)[lo:hi], a.slot(d)[lo:hi])
		d--
	}
}

// Next goes on to the next shard, or after the last one to the first of the
// next step.
func (a *Accumulator) Next() {
	if a.shard++; a.shard == a.parts[a.part].Shards() {
		a.part, a.shard = (a.part+1)%len(a.parts), 0
	}
}

func (a *Accumulator) top() int { return bits.OnesCount(uint(a.shard)) }

// carries is how many additions the current shard completes.
func (a *Accumulator) carries() int {
	if a.lastOfPart() {
		return a.top()
	}
	return bits.TrailingZeros(^uint(a.shard))
}
