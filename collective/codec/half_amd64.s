//go:build !race

#include "textflag.h"

// func encodeFP16AVX2(dst *byte, src *float32, n int)
TEXT ·encodeFP16AVX2(SB), NOSPLIT, $0-24
	MOVQ dst+0(FP), DI
	MOVQ src+8(FP), SI
	MOVQ n+16(FP), CX

loop:
	VMOVUPS   (SI), Y0
	VMOVUPS   32(SI), Y1
	VCVTPS2PH $0, Y0, (DI)
	VCVTPS2PH $0, Y1, 16(DI)
	ADDQ      $64, SI
	ADDQ      $32, DI
	SUBQ      $16, CX
	JNZ       loop
	VZEROUPPER
	RET

// func decodeFP16AVX2(dst *float32, src *byte, n int)
TEXT ·decodeFP16AVX2(SB), NOSPLIT, $0-24
	MOVQ dst+0(FP), DI
	MOVQ src+8(FP), SI
	MOVQ n+16(FP), CX

loop:
	VCVTPH2PS (SI), Y0
	VCVTPH2PS 16(SI), Y1
	VMOVUPS   Y0, (DI)
	VMOVUPS   Y1, 32(DI)
	ADDQ      $32, SI
	ADDQ      $64, DI
	SUBQ      $16, CX
	JNZ       loop
	VZEROUPPER
	RET

DATA bias<>+0(SB)/4, $0x7fff
GLOBL bias<>(SB), RODATA|NOPTR, $4
DATA one<>+0(SB)/4, $1
GLOBL one<>(SB), RODATA|NOPTR, $4
DATA quiet<>+0(SB)/4, $0x40
GLOBL quiet<>(SB), RODATA|NOPTR, $4

// ROUND leaves in T the upper halves of the values in V, rounded; in V, upper
// halves of NaN made quiet. Y13 is 0x7fff, Y14 is 1, Y15 is 0x40.
#define ROUND(V, T, M) \
	VCMPPS   $3, V, V, M   \ // unordered: NaN
	VPSRLD   $16, V, T     \
	VPAND    Y14, T, T     \
	VPADDD   Y13, T, T     \
	VPADDD   V, T, T       \
	VPSRLD   $16, T, T     \
	VPSRLD   $16, V, V     \
	VPOR     Y15, V, V     \
	VBLENDVPS M, V, T, T

// func encodeBF16AVX2(dst *byte, src *float32, n int)
TEXT ·encodeBF16AVX2(SB), NOSPLIT, $0-24
	MOVQ dst+0(FP), DI
	MOVQ src+8(FP), SI
	MOVQ n+16(FP), CX
	VPBROADCASTD bias<>(SB), Y13
	VPBROADCASTD one<>(SB), Y14
	VPBROADCASTD quiet<>(SB), Y15

loop:
	VMOVUPS (SI), Y0
	VMOVUPS 32(SI), Y1
	ROUND(Y0, Y2, Y4)
	ROUND(Y1, Y3, Y5)
	VPACKUSDW Y3, Y2, Y2
	VPERMQ  $0xd8, Y2, Y2 // packing works within halves
	VMOVDQU Y2, (DI)
	ADDQ    $64, SI
	ADDQ    $32, DI
	SUBQ    $16, CX
	JNZ     loop
	VZEROUPPER
	RET

// func decodeBF16AVX2(dst *float32, src *byte, n int)
TEXT ·decodeBF16AVX2(SB), NOSPLIT, $0-24
	MOVQ dst+0(FP), DI
	MOVQ src+8(FP), SI
	MOVQ n+16(FP), CX

loop:
	VPMOVZXWD (SI), Y0
	VPMOVZXWD 16(SI), Y1
	VPSLLD    $16, Y0, Y0
	VPSLLD    $16, Y1, Y1
	VMOVDQU   Y0, (DI)
	VMOVDQU   Y1, 32(DI)
	ADDQ      $32, SI
	ADDQ      $64, DI
	SUBQ      $16, CX
	JNZ       loop
	VZEROUPPER
	RET
