package data

import (
	"fmt"
	"math/bits"

	"github.com/espalier-ml/espalier/kernels/philox"
)

// Order shuffles n samples anew in each epoch and finds the sample at any
// cursor in constant time and without memory: no list is shuffled, stored or
// checkpointed.
//
// It is a Feistel network over the smallest power of two that holds n (two
// halves, unequal where the exponent is odd), with cycle walking for the rest:
// a value outside [0, n) is permuted again until it falls inside, which takes
// fewer than two rounds on average and is a bijection of [0, n) because the
// network is one of the larger set (Black and Rogaway, "Ciphers with arbitrary
// finite domains", CT-RSA 2002). Round keys are drawn from Philox by seed and
// epoch.
//
// An Order is a value, safe for concurrent use.
type Order struct {
	key philox.Key
	n   uint64
}

// NewOrder is the order of n samples under a run's seed. It panics when n is
// not positive.
func NewOrder(seed uint64, n int) Order {
	if n <= 0 {
		panic(fmt.Sprintf("data: order of %d samples", n))
	}
	return Order{key: philox.NewKey(seed, "order"), n: uint64(n)}
}

// Len is the number of samples in an epoch.
func (o Order) Len() int { return int(o.n) }

// Sample tells the epoch and the sample's index in [0, n) at a cursor that
// counts samples over all epochs.
func (o Order) Sample(cursor uint64) (epoch, index int) {
	e := cursor / o.n
	s := o.shuffle(e)
	return int(e), int(s.at(cursor % o.n))
}

// feistelRounds is twice what four-round Luby-Rackoff needs, since the round
// function is a mixer and halves of small sets have only a few bits.
const feistelRounds = 8

// shuffle is the permutation of one epoch.
type shuffle struct {
	n      uint64
	lo, hi uint // bits of the halves, hi - lo is 0 or 1
	keys   [feistelRounds]uint32
}

func (o Order) shuffle(epoch uint64) shuffle {
	b := uint(bits.Len64(o.n - 1))
	s := shuffle{n: o.n, lo: b / 2, hi: b - b/2}
	k := o.key.With(epoch)
	a, c := k.Index(0), k.Index(1)
	copy(s.keys[:4], a[:])
	copy(s.keys[4:], c[:])
	return s
}

func (s *shuffle) at(place uint64) uint64 {
	x := s.permute(place)
	for x >= s.n {
		x = s.permute(x)
	}
	return x
}

func (s *shuffle) permute(x uint64) uint64 {
	l, r := x&(1<<s.lo-1), x>>s.lo // l: lo bits, r: hi bits
	for i := 0; i < feistelRounds; i += 2 {
		r ^= roundWord(l, s.keys[i]) >> (64 - s.hi)
		l ^= roundWord(r, s.keys[i+1]) >> (64 - s.lo)
	}
	return r<<s.lo | l
}

// roundWord mixes a half with a round key; its highest bits are the best.
// (A shift by 64, for a half of no bits, yields 0.)
func roundWord(half uint64, key uint32) uint64 {
	x := (half<<32 ^ half>>32 ^ uint64(key)) * 0x9E3779B97F4A7C15
	x ^= x >> 32
	x *= 0xD6E8FEB86659FD93
	x ^= x >> 29
	return x * 0xBF58476D1CE4E5B9
}
