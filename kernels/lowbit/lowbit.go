// Package lowbit computes with weights of 1, 2, 4 and 8 bits: how codes are
// packed, how activations are rounded to 8 or 4 bits, and integer products of
// the two, in portable Go and in AVX2 assembly.
//
// A weight of p ≤ 4 bits is a multiple of half a step: w = scale·2^-p·o with
// the odd integer o = 2u - (2^p-1) and the code u in [0, 2^p). A weight of 8
// bits is w = scale/127·q with q in [-127, 127]. An activation is delta·a with
// a in [-127, 127] or, at 4 bits, [-7, 7]. A layer's output is a sum of
// integers o·a or q·a times two scales.
//
//	m, err := lowbit.NewMatrix(2, n, k, codes)      // [n][k] codes
//	t := lowbit.NewTokens(1, m.Stride())
//	t.Delta[0] = lowbit.Quantize(t.Row(0)[:k], x, 8) // x [k]
//	m.Dots(dst, t, 0, 1)                             // [1][n] sums of o·a
//
// Promise: all sums are exact, so that portable Go, assembly, and any number
// of threads give the same bits for every input, the largest codes included.
//
// Left to others: which precision a channel has (methods/quantize), what a
// network does with the sums.
package lowbit

import (
	"fmt"
	"math"
)

// Widths are the precisions of weights that can be packed.
var Widths = []int{1, 2, 4, 8}

// CheckWidth refuses a precision that cannot be packed.
func CheckWidth(bits int) error {
	if bits != 1 && bits != 2 && bits != 4 && bits != 8 {
		return fmt.Errorf("lowbit: weights of %d bits: want 1, 2, 4 or 8", bits)
	}
	return nil
}

// Elements is the number of codes in a block of 32 bytes.
func Elements(bits int) int { return 256 / bits }

// Padded is k rounded up to whole blocks.
func Padded(bits, k int) int {
	e := Elements(bits)
	return (k + e - 1) / e * e
}

// Odd is the odd integer that a code of p ≤ 4 bits stands for.
func Odd(bits int, u byte) int { return 2*int(u) - (1<<bits - 1) }

// Largest is the largest code of an activation.
func Largest(bits int) int { return 1<<(bits-1) - 1 }

// Quantize rounds x to codes of 8 or 4 bits, symmetric around zero: delta is
// the largest magnitude over Largest(bits), a code the nearest multiple of it,
// ties to even. All codes are 0 where delta is, and where x has something that
// is no number or infinite: then delta is NaN, and so will be what is computed
// with it. dst has the length of x.
func Quantize(dst []int8, x []float32, bits int) (delta float32) {
	delta = Delta(x, bits)
	Encode(dst, x, delta, bits)
	if delta > math.MaxFloat32 {
		clear(dst)
		delta = float32(math.NaN())
	}
	return delta
}

// Delta is the step of Quantize.
func Delta(x []float32, bits int) float32 { return MaxAbs(x) / float32(Largest(bits)) }

// MaxAbs is the largest magnitude, NaN where x has one.
func MaxAbs(x []float32) float32 {
	n, most := 0, uint32(0)
	if fast {
		n = len(x) &^ 7
		if n > 0 {
			most = math.Float32bits(maxAbsAVX(&x[0], n))
		}
	}
	for _, v := range x[n:] { // as integers, in which a NaN is above all numbers
		most = max(most, magnitude(v))
	}
	return math.Float32frombits(most)
}

// magnitude is |v| as an integer of the same order.
func magnitude(v float32) uint32 { return math.Float32bits(v) &^ (1 << 31) }

// Encode rounds x to multiples of delta, as Quantize does. Codes of a NaN mean
// nothing.
func Encode(dst []int8, x []float32, delta float32, bits int) {
	dst = dst[:len(x)]
	most := float32(Largest(bits))
	if !(delta > 0) {
		clear(dst)
		return
	}
	n := 0
	if fast {
		n = len(x) &^ 31
		if n > 0 {
			encodeAVX(&dst[0], &x[0], n, delta, most)
		}
	}
	for i, v := range x[n:] {
		dst[n+i] = encode(v, delta, most)
	}
}

func encode(v, delta, most float32) int8 {
	q := v / delta
	switch { // NaN becomes -most, as in the assembly
	case q >= most:
		return int8(most)
	case q > -most:
		return int8(math.RoundToEven(float64(q)))
	}
	return int8(-most)
}
