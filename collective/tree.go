package collective

import (
	"fmt"
	"math/bits"
)

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

// OwnShards are the logical shards [lo, hi) of the v of a step that a rank
// computes. They form a subtree, so that sums over ranks do not depend on
// world. v and world must be powers of two, or equal.
func OwnShards(v, world int, rank Rank) (lo, hi int, err error) {
	switch {
	case world < 1 || v < 1:
		return 0, 0, fmt.Errorf("shards: %d shards on %d ranks: want at least one of each", v, world)
	case rank < 0 || int(rank) >= world:
		return 0, 0, fmt.Errorf("shards: rank %d of a world of %d", rank, world)
	case v == world:
		return int(rank), int(rank) + 1, nil
	case v&(v-1) != 0 || world&(world-1) != 0:
		return 0, 0, fmt.Errorf("shards: %d shards on %d ranks: want powers of two (or as many shards as ranks), so that the result does not depend on the number of ranks", v, world)
	case v < world:
		return 0, 0, fmt.Errorf("shards: %d shards on %d ranks: want at least one shard a rank; raise shards to %d", v, world, world)
	}
	k := v / world
	return int(rank) * k, (int(rank) + 1) * k, nil
}
