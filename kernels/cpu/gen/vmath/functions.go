package main

import (
	"fmt"
	"math"
)

// function is an elementwise function: the operand x comes in Y0, dy (with
// two operands) in Y1; the result leaves in Y0. Y15 is the mask of the tail.
type function struct {
	name    string
	doc     string
	two     bool
	scalars []string // further arguments, in Y14, Y13, …
	sum     bool     // return the sum of the results, kept in Y12
	body    func(a *asm)
}

var functions = []function{
	{name: "vexpAVX", doc: "dst = e^src", body: func(a *asm) { a.exp(0, 1, true) }},
	{name: "vlogAVX", doc: "dst = ln src, for normal src > 0", body: logarithm},
	{name: "vsigmoidAVX", doc: "dst = 1/(1+e^-src)", body: func(a *asm) { a.sigmoid(0, 1) }},
	{name: "vtanhAVX", doc: "dst = tanh(src)", body: func(a *asm) { a.tanh(0, 1) }},
	{name: "vsiluAVX", doc: "dst = src/(1+e^-src)", body: silu},
	{name: "vgeluAVX", doc: "dst = src/(1+e^-2u)", body: gelu},
	{name: "vreluAVX", doc: "dst = max(src, 0)", body: func(a *asm) { a.p("\tVXORPS Y1, Y1, Y1\n\tVMAXPS Y0, Y1, Y0") }},
	{name: "vexpSubAVX", doc: "dst = e^(src-max), the sum of dst", scalars: []string{"max"}, sum: true, body: expSub},
	{name: "vscaleAVX", doc: "dst = src·scale", scalars: []string{"scale"}, body: func(a *asm) { a.p("\tVMULPS Y14, Y0, Y0") }},

	{name: "vsigmoidGradAVX", doc: "dst = dy·y·(1-y)", two: true, body: func(a *asm) {
		a.p("\tVMULPS Y0, Y1, Y2\n\tVFNMADD213PS Y2, Y2, Y0")
	}},
	{name: "vtanhGradAVX", doc: "dst = dy·(1-y²)", two: true, body: func(a *asm) {
		a.p("\tVMULPS Y0, Y1, Y2\n\tVFNMADD213PS Y1, Y2, Y0")
	}},
	{name: "vreluGradAVX", doc: "dst = dy where y > 0, else 0", two: true, body: func(a *asm) {
		a.p("\tVXORPS Y2, Y2, Y2\n\tVCMPPS $17, Y0, Y2, Y0\n\tVANDPS Y1, Y0, Y0")
	}},
	{name: "vsiluGradAVX", doc: "dst = dy·s·(1+x·(1-s))", two: true, body: siluGrad},
	{name: "vsoftmaxGradAVX", doc: "dst = x·(dy-mean)·scale", two: true, scalars: []string{"mean", "scale"}, body: func(a *asm) {
		a.p("\tVSUBPS Y14, Y1, Y1\n\tVMULPS Y13, Y0, Y0\n\tVMULPS Y1, Y0, Y0")
	}},
	{name: "vgeluGradAVX", doc: "dst = dy·(s + x·s·(1-s)·2u')", two: true, body: geluGrad},
}

// logarithm is Cephes' logf: src = 2^e·m with √½ ≤ m < √2, a polynomial of degree 9 in
// m-1.
func logarithm(a *asm) {
	// e and m relative to √½: subtract its bits, keep the exponent.
	a.p("\tVPSUBD %s, Y0, Y1\n\tVPSRAD $23, Y1, Y2\n\tVCVTDQ2PS Y2, Y2", a.num(math.Sqrt2/2))
	a.p("\tVPAND %s, Y1, Y1\n\tVPADDD %s, Y1, Y0", a.bits(0x007fffff), a.num(math.Sqrt2/2))
	a.p("\tVSUBPS %s, Y0, Y0\n\tVMULPS Y0, Y0, Y3", a.num(1)) // x = m-1, z = x²
	a.horner(4, 0, []float64{7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1, -1.6668057665e-1, 2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1})
	a.p("\tVMULPS Y0, Y4, Y4\n\tVMULPS Y3, Y4, Y4") // p·x³
	a.p("\tVFMADD231PS %s, Y2, Y4", a.num(-2.12194440e-4))
	a.p("\tVFNMADD231PS %s, Y3, Y4\n\tVADDPS Y4, Y0, Y0", a.num(0.5))
	a.p("\tVFMADD231PS %s, Y2, Y0", a.num(0.693359375))
}

func silu(a *asm) {
	a.atLeast(0, 1, -88) // -∞·0 is NaN
	a.p("\tVMOVAPS Y0, Y6")
	a.sigmoid(0, 1)
	a.p("\tVMULPS Y6, Y0, Y0")
}

// siluGrad uses 1-s = e·s with e = e^-x, which does not cancel.
func siluGrad(a *asm) {
	a.atLeast(0, 2, -87)
	a.atMost(0, 2, 87)
	a.p("\tVXORPS %s, Y0, Y6", a.bits(signBit))
	a.exp(6, 2, false)
	a.p("\tVMOVAPS Y6, Y7")
	a.inverse(6, 2)                                   // s
	a.p("\tVMULPS Y6, Y7, Y7")                        // 1-s
	a.p("\tVFMADD213PS %s, Y7, Y0", a.num(1))         // 1+x(1-s)
	a.p("\tVMULPS Y6, Y1, Y1\n\tVMULPS Y1, Y0, Y0\n") // dy·s
}

// 2u = 2√(2/π)·(x + 0.044715·x³) = x·(gelu1 + gelu3·x²), so that
// (1+tanh u)/2 is the sigmoid of 2u. On -10 ≤ x ≤ 10, -2u is in the range of
// exp; beyond, GELU is 0 or x to 1e-37.
var (
	gelu1 = 2 * math.Sqrt(2/math.Pi)
	gelu3 = gelu1 * 0.044715
)

const geluEnd = 10

func gelu(a *asm) {
	a.atLeast(0, 1, -geluEnd)
	a.p("\tVMOVAPS Y0, Y5")
	a.atMost(5, 1, geluEnd)
	a.p("\tVMULPS Y5, Y5, Y1")
	a.horner(6, 1, []float64{-gelu3, -gelu1})
	a.p("\tVMULPS Y5, Y6, Y6") // -2u
	a.exp(6, 1, false)
	a.inverse(6, 1)
	a.p("\tVMULPS Y6, Y0, Y0")
}

func geluGrad(a *asm) {
	a.atLeast(0, 2, -geluEnd)
	a.atMost(0, 2, geluEnd)
	a.p("\tVMULPS Y0, Y0, Y8")
	a.horner(6, 8, []float64{-gelu3, -gelu1})
	a.p("\tVMULPS Y0, Y6, Y6") // -2u
	a.exp(6, 2, false)
	a.p("\tVMOVAPS Y6, Y7")
	a.inverse(6, 2)            // s
	a.p("\tVMULPS Y6, Y7, Y7") // 1-s
	a.horner(2, 8, []float64{3 * gelu3, gelu1})
	a.p("\tVMULPS Y0, Y2, Y2\n\tVMULPS Y6, Y7, Y7") // x·2u', s(1-s)
	a.p("\tVFMADD213PS Y6, Y2, Y7\n\tVMULPS Y1, Y7, Y0")
}

// expSub subtracts Y14 and flushes results below e^-87 to zero; with the
// largest element subtracted nothing comes near the other end.
func expSub(a *asm) {
	a.p("\tVSUBPS Y14, Y0, Y0")
	a.p("\tVCMPPS $17, %s, Y0, Y5", a.num(-87))
	a.atLeast(0, 1, -87)
	a.atMost(0, 1, 88)
	a.exp(0, 1, false)
	a.p("\tVANDNPS Y0, Y5, Y0")
}

// function writes the loop and the tail around a body.
func (a *asm) function(f function) {
	in, args, n := "src", "dst, src *float32, n int", 16
	if f.two {
		in, args, n = "x", "dst, x, dy *float32, n int", 24
	}
	size := n + 8
	for _, s := range f.scalars {
		args += fmt.Sprintf(", %s float32", s)
	}
	frame, result := size+4*len(f.scalars), ""
	if f.sum {
		result, frame = " (sum float32)", (frame+7)&^7+4
	}
	a.p("\n// func %s(%s)%s: %s", f.name, args, result, f.doc)
	a.p("TEXT ·%s(SB), NOSPLIT, $0-%d", f.name, frame)
	a.p("\tMOVQ dst+0(FP), DI\n\tMOVQ %s+8(FP), SI", in)
	if f.two {
		a.p("\tMOVQ dy+16(FP), DX")
	}
	a.p("\tMOVQ n+%d(FP), CX", n)
	for i, s := range f.scalars {
		a.p("\tVBROADCASTSS %s+%d(FP), Y%d", s, size+4*i, 14-i)
	}
	if f.sum {
		a.p("\tVXORPS Y12, Y12, Y12")
	}
	a.p("\tSUBQ $8, CX\n\tJL tail\n\nloop:\n\tVMOVUPS (SI), Y0")
	if f.two {
		a.p("\tVMOVUPS (DX), Y1\n\tADDQ $32, DX")
	}
	f.body(a)
	if f.sum {
		a.p("\tVADDPS Y0, Y12, Y12")
	}
	a.p("\tVMOVUPS Y0, (DI)\n\tADDQ $32, SI\n\tADDQ $32, DI\n\tSUBQ $8, CX\n\tJGE loop\n\ntail:\n\tADDQ $8, CX\n\tJZ done")
	a.mask()
	a.p("\tVMASKMOVPS (SI), Y15, Y0")
	if f.two {
		a.p("\tVMASKMOVPS (DX), Y15, Y1")
	}
	f.body(a)
	if f.sum {
		a.p("\tVANDPS Y15, Y0, Y0\n\tVADDPS Y0, Y12, Y12")
	}
	a.p("\tVMASKMOVPS Y0, Y15, (DI)\n\ndone:")
	if f.sum {
		a.lanes("VADDPS", 12)
		a.p("\tVMOVSS X12, sum+%d(FP)", frame-4)
	}
	a.p("\tVZEROUPPER\n\tRET")
}

// lanes folds the eight lanes of y into the first, always in the same order.
func (a *asm) lanes(op string, y int) {
	a.p("\tVEXTRACTF128 $1, Y%d, X0\n\t%s X0, X%d, X%d", y, op, y, y)
	a.p("\tVPERMILPS $0x4e, X%d, X0\n\t%s X0, X%d, X%d", y, op, y, y)
	a.p("\tVPERMILPS $0xb1, X%d, X0\n\t%s X0, X%d, X%d", y, op, y, y)
}

// rowMax is the largest element of n ≥ 1.
func (a *asm) rowMax() {
	a.p("\n// func vmaxAVX(src *float32, n int) (max float32): the largest of n ≥ 1 elements")
	a.p("TEXT ·vmaxAVX(SB), NOSPLIT, $0-20")
	a.p("\tMOVQ src+0(FP), SI\n\tMOVQ n+8(FP), CX\n\tVBROADCASTSS (SI), Y13\n\tSUBQ $8, CX\n\tJL tail\n")
	a.p("loop:\n\tVMAXPS (SI), Y13, Y13\n\tADDQ $32, SI\n\tSUBQ $8, CX\n\tJGE loop\n\ntail:\n\tADDQ $8, CX\n\tJZ done")
	a.mask()
	a.p("\tVMASKMOVPS (SI), Y15, Y0\n\tVBLENDVPS Y15, Y0, Y13, Y0\n\tVMAXPS Y0, Y13, Y13\n\ndone:")
	a.lanes("VMAXPS", 13)
	a.p("\tVMOVSS X13, max+16(FP)\n\tVZEROUPPER\n\tRET")
}

// dot is the inner product of two slices, eight lanes folded at the end.
func (a *asm) dot() {
	a.p("\n// func vdotAVX(x, y *float32, n int) (sum float32)")
	a.p("TEXT ·vdotAVX(SB), NOSPLIT, $0-28")
	a.p("\tMOVQ x+0(FP), SI\n\tMOVQ y+8(FP), DI\n\tMOVQ n+16(FP), CX\n\tVXORPS Y12, Y12, Y12\n\tSUBQ $8, CX\n\tJL tail\n")
	a.p("loop:\n\tVMOVUPS (SI), Y0\n\tVFMADD231PS (DI), Y0, Y12\n\tADDQ $32, SI\n\tADDQ $32, DI\n\tSUBQ $8, CX\n\tJGE loop\n\ntail:\n\tADDQ $8, CX\n\tJZ done")
	a.mask()
	a.p("\tVMASKMOVPS (SI), Y15, Y0\n\tVMASKMOVPS (DI), Y15, Y1\n\tVFMADD231PS Y1, Y0, Y12\n\ndone:")
	a.lanes("VADDPS", 12)
	a.p("\tVMOVSS X12, sum+24(FP)\n\tVZEROUPPER\n\tRET")
}
