//go:build !race

package codec

import "golang.org/x/sys/cpu"

// f16c comes with AVX2 on every processor that has that.
var hasAVX2 = cpu.X86.HasAVX2

// The assembly takes n values, a multiple of 16 and not 0.

//go:noescape
func encodeFP16AVX2(dst *byte, src *float32, n int)

//go:noescape
func decodeFP16AVX2(dst *float32, src *byte, n int)

//go:noescape
func encodeBF16AVX2(dst *byte, src *float32, n int)

//go:noescape
func decodeBF16AVX2(dst *float32, src *byte, n int)

func blocks(n int) int {
	if !hasAVX2 {
		return 0
	}
	return n &^ 15
}

func fp16Blocks(dst []byte, src []float32) int {
	n := blocks(len(src))
	if n > 0 {
		encodeFP16AVX2(&dst[0], &src[0], n)
	}
	return n
}

func fromFP16Blocks(dst []float32, src []byte) int {
	n := blocks(len(dst))
	if n > 0 {
		decodeFP16AVX2(&dst[0], &src[0], n)
	}
	return n
}

func bf16Blocks(dst []byte, src []float32) int {
	n := blocks(len(src))
	if n > 0 {
		encodeBF16AVX2(&dst[0], &src[0], n)
	}
	return n
}

func fromBF16Blocks(dst []float32, src []byte) int {
	n := blocks(len(dst))
	if n > 0 {
		decodeBF16AVX2(&dst[0], &src[0], n)
	}
	return n
}
