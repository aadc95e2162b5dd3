package quantize

import "math"

// The quantizer of weights. Up to 4 bits it is mid-rise: levels are the odd
// multiples of M·2^-p, there is no zero, and the code of p-1 bits is that of p
// bits without its last bit. At 8 bits it is the usual one with a zero.

// minScale keeps rows of zeros from dividing by zero.
const minScale = 1e-12

// Code is q: clamp(⌊w·2^(p-1)/M⌋) in [-2^(p-1), 2^(p-1)-1], at 8 bits
// clamp(round(127·w/M)) in [-127, 127].
func Code(w, scale float64, bits int) int {
	scale = math.Max(scale, minScale)
	if bits == 8 {
		return int(math.Max(-127, math.Min(127, math.RoundToEven(127*w/scale))))
	}
	half := float64(int(1) << (bits - 1))
	return int(math.Max(-half, math.Min(half-1, math.Floor(w*half/scale))))
}

// Level is the weight that a code stands for: M·2^-p·(2q+1), at 8 bits M·q/127.
func Level(q int, scale float64, bits int) float64 {
	return Step(scale, bits) * float64(Integer(q, bits))
}

// Integer is what products are summed of: o = 2q+1, at 8 bits q.
func Integer(q, bits int) int {
	if bits == 8 {
		return q
	}
	return 2*q + 1
}

// Step is the factor of Integer: M·2^-p, at 8 bits M/127.
func Step(scale float64, bits int) float64 {
	scale = math.Max(scale, minScale)
	if bits == 8 {
		return scale / 127
	}
	return math.Ldexp(scale, -bits)
}

// Unsigned is the code u ≥ 0 that is packed: q + 2^(p-1), at 8 bits the byte
// of q.
func Unsigned(q, bits int) byte {
	if bits == 8 {
		return byte(int8(q))
	}
	return byte(q + 1<<(bits-1))
}

// Round is the nearest thing to w that a deployed network has: Level of Code.
func Round(w, scale float64, bits int) float64 { return Level(Code(w, scale, bits), scale, bits) }

// rounder rounds the weights of one row and precision in float32. Its codes
// are those of Code for the float32 values of weight and scale but for
// roundings of w·2^(p-1)/M next to a border.
type rounder struct {
	inverse   float32 // 2^(p-1)/M or 127/M
	step      float32
	low, high float32 // codes
	mid       float32 // added to a code: ½ up to 4 bits, in steps of two
}

func newRounder(scale float32, bits int) rounder {
	m := max(scale, minScale)
	if bits == 8 {
		return rounder{127 / m, m / 127, -127, 127, 0}
	}
	half := float32(int(1) << (bits - 1))
	return rounder{half / m, m / half, -half, half - 1, 0.5}
}

// code is the code of a weight.
func (r *rounder) code(w float32) float32 {
	t := w * r.inverse
	if r.mid == 0 {
		t = float32(math.RoundToEven(float64(t)))
	} else {
		t = float32(math.Floor(float64(t)))
	}
	return max(r.low, min(r.high, t))
}

// level is the weight of a code.
func (r *rounder) level(q float32) float32 { return r.step * (q + r.mid) }
