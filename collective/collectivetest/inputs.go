package collectivetest

import (
	"fmt"
	"math"

	"github.com/espalier-ml/espalier/collective"
)

// Lengths of buffers: nothing, one, odd, around vectors and cache lines, and
// longer than any chunk.
var lengths = []int{0, 1, 3, 17, 1024, 4099, long}

// exact is an input whose sum over ranks is exact in float32: integers below
// 2^20, at most 64 ranks.
func exact(rank collective.Rank, n int) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(hash(uint32(rank), uint32(i)) % (1 << 18))
	}
	return v
}

// exactSum is what all ranks' exact inputs add up to at i.
func exactSum(world, i int) float32 {
	s := uint32(0)
	for r := range world {
		s += hash(uint32(r), uint32(i)) % (1 << 18)
	}
	return float32(s)
}

// exactSums are the sums of exact inputs of a length.
func exactSums(world, n int) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = exactSum(world, i)
	}
	return v
}

// uneven is an input of numbers so different in size that every order of
// additions has bits of its own.
func uneven(rank collective.Rank, n int) []float32 {
	v := make([]float32, n)
	for i := range v {
		h := hash(uint32(rank)+100, uint32(i))
		v[i] = float32(int32(h)) * float32(math.Ldexp(1, int(h%40)-50))
	}
	return v
}

// hash mixes two numbers (the finaliser of MurmurHash3).
func hash(a, b uint32) uint32 {
	h := a*0x9e3779b1 ^ b
	h ^= h >> 16
	h *= 0x85ebca6b
	h ^= h >> 13
	h *= 0xc2b2ae35
	return h ^ h>>16
}

// sameBits reports the first difference.
func sameBits(what string, got, want []float32) error {
	if len(got) != len(want) {
		return fmt.Errorf("%s: %d elements, want %d", what, len(got), len(want))
	}
	for i := range got {
		if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
			return fmt.Errorf("%s: element %d of %d is %g (%08x), want %g (%08x)", what, i, len(got), got[i], math.Float32bits(got[i]), want[i], math.Float32bits(want[i]))
		}
	}
	return nil
}
