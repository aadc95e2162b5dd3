// Package philox is the counter-based random number generator behind every
// random decision of a run: initial weights, values of grown entries, dropout
// masks, augmentation and data order.
//
// A number is a pure function of (key, counter). The key names the run's seed
// and the purpose ("dropout", "init", …); the counter names the place the
// number is for: a step, shard and op, or a parameter's row and column. So
// ranks and threads draw the same numbers without talking, in any order, and
// a resumed run draws what the uninterrupted one would have drawn.
//
// The generator is Philox4x32 with 10 rounds: Salmon, Moraes, Dror, Shaw,
// "Parallel random numbers: as easy as 1, 2, 3", SC 2011. All functions are
// pure and safe for concurrent use.
package philox

import "math"

// Key selects one of 2^64 independent streams.
type Key [2]uint32

// Counter is the position inside a stream.
type Counter [4]uint32

const (
	mul0   = 0xD2511F53
	mul1   = 0xCD9E8D57
	weyl0  = 0x9E3779B9
	weyl1  = 0xBB67AE85
	rounds = 10
)

// NewKey derives a key from a run's seed and the purpose of the numbers, so
// that streams of different purposes never meet. The purpose is folded in
// with FNV-1a and mixed with the finalizer of SplitMix64.
func NewKey(seed uint64, purpose string) Key {
	h := uint64(14695981039346656037)
	for i := 0; i < len(purpose); i++ {
		h = (h ^ uint64(purpose[i])) * 1099511628211
	}
	x := mix(seed ^ mix(h))
	return Key{uint32(x), uint32(x >> 32)}
}

// With derives a sub-stream of k, for instance one per parameter or per epoch.
func (k Key) With(n uint64) Key {
	x := mix((uint64(k[1])<<32 | uint64(k[0])) ^ mix(n+0x9E3779B97F4A7C15))
	return Key{uint32(x), uint32(x >> 32)}
}

func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xBF58476D1CE4E5B9
	x ^= x >> 27
	x *= 0x94D049BB133111EB
	return x ^ x>>31
}

// At returns the four words at counter c.
func (k Key) At(c Counter) [4]uint32 {
	k0, k1 := k[0], k[1]
	for range rounds {
		p0 := uint64(mul0) * uint64(c[0])
		p1 := uint64(mul1) * uint64(c[2])
		c = Counter{uint32(p1>>32) ^ c[1] ^ k0, uint32(p1), uint32(p0>>32) ^ c[3] ^ k1, uint32(p0)}
		k0 += weyl0
		k1 += weyl1
	}
	return c
}

// Index returns the four words at the 64-bit position i of the stream.
func (k Key) Index(i uint64) [4]uint32 {
	return k.At(Counter{uint32(i), uint32(i >> 32)})
}

// Uniform maps a word to the open interval (0, 1): the 23 highest bits, half
// a step off zero, exact in float32.
func Uniform(u uint32) float32 { return (float32(u>>9) + 0.5) * (1.0 / (1 << 23)) }

// Below maps a word to [0, n) by multiplication; the bias is below n/2^32.
func Below(u uint32, n int) int { return int(uint64(u) * uint64(n) >> 32) }

// Normals maps four words to four independent standard normal numbers
// (Box-Muller, computed in float64).
func Normals(w [4]uint32) [4]float32 {
	a, b := boxMuller(w[0], w[1])
	c, d := boxMuller(w[2], w[3])
	return [4]float32{a, b, c, d}
}

func boxMuller(u, v uint32) (float32, float32) {
	r := math.Sqrt(-2 * math.Log((float64(u)+0.5)*(1.0/(1<<32))))
	s, c := math.Sincos(2 * math.Pi * float64(v) * (1.0 / (1 << 32)))
	return float32(r * c), float32(r * s)
}
