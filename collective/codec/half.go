package codec

import (
	"encoding/binary"
	"math"
)

// The encoders and decoders do what the assembly can, and the rest in Go.

func encodeFP16(dst []byte, src []float32) {
	for i := fp16Blocks(dst, src); i < len(src); i++ {
		binary.LittleEndian.PutUint16(dst[2*i:], toFP16(src[i]))
	}
}

func decodeFP16(dst []float32, src []byte) {
	for i := fromFP16Blocks(dst, src); i < len(dst); i++ {
		dst[i] = fromFP16(binary.LittleEndian.Uint16(src[2*i:]))
	}
}

func encodeBF16(dst []byte, src []float32) {
	for i := bf16Blocks(dst, src); i < len(src); i++ {
		binary.LittleEndian.PutUint16(dst[2*i:], toBF16(src[i]))
	}
}

func decodeBF16(dst []float32, src []byte) {
	for i := fromBF16Blocks(dst, src); i < len(dst); i++ {
		dst[i] = math.Float32frombits(uint32(binary.LittleEndian.Uint16(src[2*i:])) << 16)
	}
}

// toBF16 keeps the upper half, rounded. NaN keeps its sign and payload and is
// made quiet.
func toBF16(f float32) uint16 {
	x := math.Float32bits(f)
	if f != f {
		return uint16(x>>16) | 0x40
	}
	return uint16((x + 0x7fff + x>>16&1) >> 16)
}

// toFP16 rounds to IEEE 754 binary16 like the VCVTPS2PH instruction.
func toFP16(f float32) uint16 {
	x := math.Float32bits(f)
	sign, exp, frac := uint16(x>>16)&0x8000, int(x>>23&0xff)-127, x&0x7fffff
	switch {
	case f != f:
		return sign | 0x7e00 | uint16(frac>>13)
	case exp > 15:
		return sign | 0x7c00
	case exp >= -14: // normal; a carry out of the fraction raises the exponent, up to infinity
		return sign | uint16(roundShift(uint32(exp+15)<<23|frac, 13))
	case exp >= -25: // denormal
		return sign | uint16(roundShift(1<<23|frac, uint(-1-exp)))
	}
	return sign
}

// roundShift is x >> n, rounded to nearest, ties to even.
func roundShift(x uint32, n uint) uint32 {
	half := uint32(1)<<(n-1) - 1
	return (x + half + x>>n&1) >> n
}

func fromFP16(h uint16) float32 {
	sign, exp, frac := uint32(h&0x8000)<<16, uint32(h>>10&0x1f), uint32(h&0x3ff)
	switch {
	case exp == 0x1f && frac != 0:
		return math.Float32frombits(sign | 0x7fc00000 | frac<<13)
	case exp == 0x1f:
		return math.Float32frombits(sign | 0x7f800000)
	case exp == 0: // 2^-24 a step
		f := float32(frac) * (1.0 / (1 << 24))
		return math.Float32frombits(sign | math.Float32bits(f))
	}
	return math.Float32frombits(sign | (exp+112)<<23 | frac<<13)
}
