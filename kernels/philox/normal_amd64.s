#include "textflag.h"

// Sixteen normal numbers at a time: four counters in the four lanes of a
// register, their words in the lanes' low halves; then Box-Muller in float64
// with the very operations, in their order, of math.Log (amd64) and
// math.Sincos, so that every bit is that of Normals.

// QUADS is a constant in four lanes.
#define QUADS(name, v) \
	DATA name<>+0(SB)/8, $v; \
	DATA name<>+8(SB)/8, $v; \
	DATA name<>+16(SB)/8, $v; \
	DATA name<>+24(SB)/8, $v; \
	GLOBL name<>(SB), RODATA|NOPTR, $32

QUADS(two52, 0x4330000000000000)
QUADS(bias52, 0x43300000000003fe)
QUADS(half, 0x3fe0000000000000)
QUADS(one, 0x3ff0000000000000)
QUADS(two, 0x4000000000000000)
QUADS(minus2, 0xc000000000000000)
QUADS(tiny, 0x3df0000000000000)
QUADS(mantissa, 0x000fffffffffffff)
QUADS(sign, 0x8000000000000000)
QUADS(root, 0x3fe6a09e667f3bcd)
QUADS(ln2Hi, 0x3fe62e42fee00000)
QUADS(ln2Lo, 0x3dea39ef35793c76)
QUADS(l1, 0x3fe5555555555593)
QUADS(l2, 0x3fd999999997fa04)
QUADS(l3, 0x3fd2492494229359)
QUADS(l4, 0x3fcc71c51d8e78af)
QUADS(l5, 0x3fc7466496cb03de)
QUADS(l6, 0x3fc39a09d078c69f)
QUADS(l7, 0x3fc2f112df3e5244)
QUADS(turn, 0x401921fb54442d18)
QUADS(octants, 0x3ff45f306dc9c883)
QUADS(quarterA, 0x3fe921fb40000000)
QUADS(quarterB, 0x3e64442d00000000)
QUADS(quarterC, 0x3ce8469898cc5170)
QUADS(cos0, 0xbda8fa49a0861a9b)
QUADS(cos1, 0x3e21ee9d7b4e3f05)
QUADS(cos2, 0xbe927e4f7eac4bc6)
QUADS(cos3, 0x3efa01a019c844f5)
QUADS(cos4, 0xbf56c16c16c14f91)
QUADS(cos5, 0x3fa555555555554b)
QUADS(sin0, 0x3de5d8fd1fd19ccd)
QUADS(sin1, 0xbe5ae5e5a9291f5d)
QUADS(sin2, 0x3ec71de3567d48a1)
QUADS(sin3, 0xbf2a01a019bfdf03)
QUADS(sin4, 0x3f8111111110f7d0)
QUADS(sin5, 0xbfc5555555555548)
QUADS(mul0, 0x00000000d2511f53)
QUADS(mul1, 0x00000000cd9e8d57)

// Odd numbers become the next even one: add 1, clear the lowest bit.
DATA odd<>+0(SB)/8, $0x0000000100000001
DATA odd<>+8(SB)/8, $0x0000000100000001
GLOBL odd<>(SB), RODATA|NOPTR, $16
DATA even<>+0(SB)/8, $0xfffffffefffffffe
DATA even<>+8(SB)/8, $0xfffffffefffffffe
GLOBL even<>(SB), RODATA|NOPTR, $16
// Four neighbouring counters.
DATA lanes<>+0(SB)/8, $0
DATA lanes<>+8(SB)/8, $1
DATA lanes<>+16(SB)/8, $2
DATA lanes<>+24(SB)/8, $3
GLOBL lanes<>(SB), RODATA|NOPTR, $32
QUADS(four, 4)
QUADS(two64, 2)
QUADS(weyl0, 0x9E3779B99E3779B9)
QUADS(weyl1, 0xBB67AE85BB67AE85)

// MIX is a round of Philox on words a, b, c, d with keys Y14 and Y15, using p,
// q and r. What stands in the high halves of lanes never reaches a low one.
#define MIX(a, b, c, d, p, q, r) \
	VPMULUDQ Y12, a, p; \
	VPMULUDQ Y13, c, q; \
	VPSRLQ   $32, q, r; \
	VPXOR    b, r, r; \
	VPXOR    Y14, r, a; \
	VPSRLQ   $32, p, r; \
	VPXOR    d, r, r; \
	VPXOR    Y15, r, c; \
	VMOVDQA  q, b; \
	VMOVDQA  p, d

// ROUND is a round of eight counters.
#define ROUND \
	MIX(Y0, Y1, Y2, Y3, Y8, Y9, Y10); \
	MIX(Y4, Y5, Y6, Y7, Y8, Y9, Y11); \
	VPADDD weyl0<>(SB), Y14, Y14; \
	VPADDD weyl1<>(SB), Y15, Y15

// PAIR replaces words in U by √(-2·ln((U+½)/2³²)) and words in V by the sine
// of 2π·V/2³², and leaves the cosine in Y15. It uses Y4…Y9 for the one and
// Y10…Y14 for the others. The two chains stand interleaved: each alone would wait for its latencies.
//
//	root: U = 2^k·f; where f ≤ √½ twice f and one less k; f -= 1, s = f/(2+f),
//	      R by l1…l7, k·ln2Hi - ((f²/2 - (s·(f²/2+R) + k·ln2Lo)) - f)
//	sine: the octant made even, z what is left in three steps, both
//	      polynomials, swapped for octants 2 and 6; the sine is negative for
//	      4 and 6, the cosine for 2 and 4
#define PAIR(U, V) \
	VPBLENDD    $0xAA, two52<>(SB), U, U; \
	VPBLENDD    $0xAA, two52<>(SB), V, V; \
	VSUBPD      two52<>(SB), V, V; \
	VSUBPD      two52<>(SB), U, U; \
	VMULPD      turn<>(SB), V, V; \
	VADDPD      half<>(SB), U, U; \
	VMULPD      tiny<>(SB), V, V; \
	VMULPD      tiny<>(SB), U, U; \
	VMULPD      octants<>(SB), V, Y10; \
	VPSRLQ      $52, U, Y4; \
	VCVTTPD2DQY Y10, X10; \
	VPADDD      odd<>(SB), X10, X10; \
	VPOR        two52<>(SB), Y4, Y4; \
	VPAND       even<>(SB), X10, X10; \
	VSUBPD      bias52<>(SB), Y4, Y4; \
	VCVTDQ2PD   X10, Y11; \
	VANDPD      mantissa<>(SB), U, U; \
	VMULPD      quarterA<>(SB), Y11, Y12; \
	VORPD       half<>(SB), U, U; \
	VSUBPD      Y12, V, V; \
	VMULPD      quarterB<>(SB), Y11, Y12; \
	VMOVUPD     root<>(SB), Y5; \
	VSUBPD      Y12, V, V; \
	VCMPPD      $5, U, Y5, Y5; \
	VMULPD      quarterC<>(SB), Y11, Y12; \
	VANDPD      one<>(SB), Y5, Y5; \
	VSUBPD      Y12, V, V; \
	VSUBPD      Y5, Y4, Y4; \
	VMULPD      V, V, Y12; \
	VMULPD      cos0<>(SB), Y12, Y13; \
	VADDPD      one<>(SB), Y5, Y5; \
	VADDPD      cos1<>(SB), Y13, Y13; \
	VMULPD      Y5, U, U; \
	VMULPD      Y12, Y13, Y13; \
	VSUBPD      one<>(SB), U, U; \
	VADDPD      cos2<>(SB), Y13, Y13; \
	VADDPD      two<>(SB), U, Y5; \
	VMULPD      Y12, Y13, Y13; \
	VADDPD      cos3<>(SB), Y13, Y13; \
	VDIVPD      Y5, U, Y5; \
	VMULPD      Y12, Y13, Y13; \
	VMULPD      Y5, Y5, Y6; \
	VADDPD      cos4<>(SB), Y13, Y13; \
	VMULPD      Y6, Y6, Y7; \
	VMULPD      Y12, Y13, Y13; \
	VMULPD      l7<>(SB), Y7, Y8; \
	VADDPD      cos5<>(SB), Y13, Y13; \
	VMULPD      Y12, Y12, Y14; \
	VADDPD      l5<>(SB), Y8, Y8; \
	VMULPD      Y13, Y14, Y13; \
	VMULPD      Y7, Y8, Y8; \
	VMULPD      half<>(SB), Y12, Y14; \
	VADDPD      l3<>(SB), Y8, Y8; \
	VMOVUPD     one<>(SB), Y15; \
	VMULPD      Y7, Y8, Y8; \
	VSUBPD      Y14, Y15, Y14; \
	VADDPD      Y13, Y14, Y13; \
	VADDPD      l1<>(SB), Y8, Y8; \
	VMULPD      sin0<>(SB), Y12, Y14; \
	VMULPD      Y6, Y8, Y8; \
	VADDPD      sin1<>(SB), Y14, Y14; \
	VMULPD      l6<>(SB), Y7, Y9; \
	VMULPD      Y12, Y14, Y14; \
	VADDPD      l4<>(SB), Y9, Y9; \
	VADDPD      sin2<>(SB), Y14, Y14; \
	VMULPD      Y12, Y14, Y14; \
	VMULPD      Y7, Y9, Y9; \
	VADDPD      sin3<>(SB), Y14, Y14; \
	VADDPD      l2<>(SB), Y9, Y9; \
	VMULPD      Y12, Y14, Y14; \
	VMULPD      Y7, Y9, Y9; \
	VADDPD      sin4<>(SB), Y14, Y14; \
	VADDPD      Y9, Y8, Y8; \
	VMULPD      Y12, Y14, Y14; \
	VADDPD      sin5<>(SB), Y14, Y14; \
	VMULPD      half<>(SB), U, Y9; \
	VMULPD      Y12, V, Y15; \
	VMULPD      U, Y9, Y9; \
	VMULPD      Y14, Y15, Y14; \
	VADDPD      Y9, Y8, Y8; \
	VADDPD      Y14, V, Y14; \
	VMULPD      Y8, Y5, Y5; \
	VPMOVZXDQ   X10, Y10; \
	VPSLLQ      $62, Y10, Y11; \
	VMULPD      ln2Lo<>(SB), Y4, Y8; \
	VBLENDVPD   Y11, Y14, Y13, Y15; \
	VADDPD      Y8, Y5, Y5; \
	VBLENDVPD   Y11, Y13, Y14, V; \
	VSUBPD      Y5, Y9, Y9; \
	VPSLLQ      $61, Y10, Y11; \
	VSUBPD      U, Y9, Y9; \
	VANDPD      sign<>(SB), Y11, Y11; \
	VXORPD      Y11, V, V; \
	VMULPD      ln2Hi<>(SB), Y4, Y4; \
	VPADDQ      two64<>(SB), Y10, Y10; \
	VSUBPD      Y9, Y4, U; \
	VPSLLQ      $61, Y10, Y11; \
	VMULPD      minus2<>(SB), U, U; \
	VANDPD      sign<>(SB), Y11, Y11; \
	VSQRTPD     U, U; \
	VXORPD      Y11, Y15, Y15

// func normalsAVX2(dst *float32, groups int, key Key, c Counter, scale float32)
//
// Numbers are chains of dependent operations, so two groups are on their way
// together; the words of the second wait on the stack.
TEXT ·normalsAVX2(SB), 0, $192-44
	MOVQ         dst+0(FP), DI
	MOVQ         groups+8(FP), CX
	VBROADCASTSS c_1+28(FP), Y0
	VPADDD       lanes<>(SB), Y0, Y0
	VMOVDQU      Y0, counter-32(SP)

pair:
	VMOVDQU      mul0<>(SB), Y12
	VMOVDQU      mul1<>(SB), Y13
	VBROADCASTSS key_0+16(FP), Y14
	VBROADCASTSS key_1+20(FP), Y15
	VBROADCASTSS c_0+24(FP), Y0
	VMOVDQU      counter-32(SP), Y1
	VBROADCASTSS c_2+32(FP), Y2
	VBROADCASTSS c_3+36(FP), Y3
	VMOVDQA      Y0, Y4
	VPADDD       four<>(SB), Y1, Y5
	VMOVDQA      Y2, Y6
	VMOVDQA      Y3, Y7
	VPADDD       four<>(SB), Y5, Y8
	VMOVDQU      Y8, counter-32(SP)
	ROUND
	ROUND
	ROUND
	ROUND
	ROUND
	ROUND
	ROUND
	ROUND
	ROUND
	ROUND
	VMOVDQU      Y4, word0-64(SP)
	VMOVDQU      Y5, word1-96(SP)
	VMOVDQU      Y6, word2-128(SP)
	VMOVDQU      Y7, word3-160(SP)
	MOVQ         $2, DX

group:
	PAIR(Y0, Y1)
	VMULPD     Y15, Y0, Y15
	VMULPD     Y1, Y0, Y1
	VCVTPD2PSY Y15, X0
	VCVTPD2PSY Y1, X1
	PAIR(Y2, Y3)
	VMULPD     Y15, Y2, Y15
	VMULPD     Y3, Y2, Y3
	VCVTPD2PSY Y15, X2
	VCVTPD2PSY Y3, X3

	VBROADCASTSS scale+40(FP), X14
	VMULPS    X14, X0, X0
	VMULPS    X14, X1, X1
	VMULPS    X14, X2, X2
	VMULPS    X14, X3, X3
	VUNPCKLPS X1, X0, X4
	VUNPCKHPS X1, X0, X5
	VUNPCKLPS X3, X2, X6
	VUNPCKHPS X3, X2, X7
	VUNPCKLPD X6, X4, X0
	VUNPCKHPD X6, X4, X1
	VUNPCKLPD X7, X5, X2
	VUNPCKHPD X7, X5, X3
	VMOVUPS   X0, (DI)
	VMOVUPS   X1, 16(DI)
	VMOVUPS   X2, 32(DI)
	VMOVUPS   X3, 48(DI)
	ADDQ      $64, DI
	DECQ      CX
	JZ        done
	DECQ      DX
	JZ        pair
	VMOVDQU   word0-64(SP), Y0
	VMOVDQU   word1-96(SP), Y1
	VMOVDQU   word2-128(SP), Y2
	VMOVDQU   word3-160(SP), Y3
	JMP       group

done:
	VZEROUPPER
	RET
