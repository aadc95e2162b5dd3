#include "textflag.h"

// Folding constants of CRC-32C (reflected), x^(d+32) and x^(d-32) modulo the
// polynomial for a distance of d bits: Gopal et al., "Fast CRC Computation for
// Generic Polynomials Using PCLMULQDQ Instruction", Intel 2009.
DATA fold2048<>+0(SB)/8, $0x0dcb17aa4
DATA fold2048<>+8(SB)/8, $0x0b9e02b86
GLOBL fold2048<>(SB), RODATA|NOPTR, $16

DATA fold512<>+0(SB)/8, $0x0740eef02
DATA fold512<>+8(SB)/8, $0x09e4addf8
GLOBL fold512<>(SB), RODATA|NOPTR, $16

// For the four lanes of a register: 384, 256, 128 bits, and none.
DATA folds<>+0(SB)/8, $0x01c291d04
DATA folds<>+8(SB)/8, $0x1d82c63da
DATA folds<>+16(SB)/8, $0x1384aa63a
DATA folds<>+24(SB)/8, $0x0ba4fc28e
DATA folds<>+32(SB)/8, $0x0f20c0dfe
DATA folds<>+40(SB)/8, $0x14cd00bd6
DATA folds<>+48(SB)/8, $0
DATA folds<>+56(SB)/8, $0
GLOBL folds<>(SB), RODATA|NOPTR, $64

// func foldCRC(p *byte, n int, state uint32) uint32
// n is a multiple of 256 and not 0. state is the CRC register, not inverted.
TEXT ·foldCRC(SB), NOSPLIT, $0-28
	MOVQ p+0(FP), SI
	MOVQ n+8(FP), CX
	MOVL state+16(FP), AX

	VMOVDQU64 (SI), Z0
	VMOVDQU64 64(SI), Z1
	VMOVDQU64 128(SI), Z2
	VMOVDQU64 192(SI), Z3
	VMOVD     AX, X4
	VPXORQ    Z4, Z0, Z0
	VBROADCASTI32X4 fold2048<>(SB), Z10
	ADDQ $256, SI
	SUBQ $256, CX
	JZ   merge

loop:
	VPCLMULQDQ $0x00, Z10, Z0, Z4
	VPCLMULQDQ $0x11, Z10, Z0, Z0
	VPCLMULQDQ $0x00, Z10, Z1, Z5
	VPCLMULQDQ $0x11, Z10, Z1, Z1
	VPCLMULQDQ $0x00, Z10, Z2, Z6
	VPCLMULQDQ $0x11, Z10, Z2, Z2
	VPCLMULQDQ $0x00, Z10, Z3, Z7
	VPCLMULQDQ $0x11, Z10, Z3, Z3
	VPTERNLOGQ $0x96, (SI), Z4, Z0
	VPTERNLOGQ $0x96, 64(SI), Z5, Z1
	VPTERNLOGQ $0x96, 128(SI), Z6, Z2
	VPTERNLOGQ $0x96, 192(SI), Z7, Z3
	ADDQ $256, SI
	SUBQ $256, CX
	JNZ  loop

merge:
	VBROADCASTI32X4 fold512<>(SB), Z10
	VPCLMULQDQ $0x00, Z10, Z0, Z4
	VPCLMULQDQ $0x11, Z10, Z0, Z0
	VPTERNLOGQ $0x96, Z4, Z0, Z1
	VPCLMULQDQ $0x00, Z10, Z1, Z4
	VPCLMULQDQ $0x11, Z10, Z1, Z1
	VPTERNLOGQ $0x96, Z4, Z1, Z2
	VPCLMULQDQ $0x00, Z10, Z2, Z4
	VPCLMULQDQ $0x11, Z10, Z2, Z2
	VPTERNLOGQ $0x96, Z4, Z2, Z3

	VMOVDQU64 folds<>(SB), Z10
	VPCLMULQDQ $0x00, Z10, Z3, Z4
	VPCLMULQDQ $0x11, Z10, Z3, Z5
	VPXORQ Z4, Z5, Z4
	VEXTRACTI32X4 $3, Z3, X0
	VEXTRACTI32X4 $1, Z4, X1
	VEXTRACTI32X4 $2, Z4, X2
	VPXOR X1, X0, X0
	VPXOR X2, X4, X4
	VPXOR X4, X0, X0
	VMOVQ X0, DX
	VPEXTRQ $1, X0, BX
	XORL  AX, AX
	CRC32Q DX, AX
	CRC32Q BX, AX
	MOVL  AX, ret+24(FP)
	VZEROUPPER
	RET
