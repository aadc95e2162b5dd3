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
