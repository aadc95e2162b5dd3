package main

import "fmt"

// winograd writes the transformations of F(2x2,3x3), each over lanes that lie
// side by side: see winograd.go in package cpu. Planes of transformed values
// lie a fixed number of bytes apart.
func (a *asm) winograd() {
	k := kernel{asm: a}
	k.winoRows()
	k.winoColumns()
	k.winoOutput()
	k.winoWeights()
}

// winoRows: from four rows of pixels to the four rows of Bᵀd.
func (k *kernel) winoRows() {
	k.p("\n// func winoRows(dst unsafe.Pointer, step int, r0, r1, r2, r3 unsafe.Pointer, n int)")
	k.p("TEXT ·winoRows(SB), NOSPLIT, $0-56\n\tMOVQ dst+0(FP), DI\n\tMOVQ step+8(FP), DX\n\tMOVQ r0+16(FP), R8\n\tMOVQ r1+24(FP), R9\n\tMOVQ r2+32(FP), R10\n\tMOVQ r3+40(FP), R11\n\tMOVQ n+48(FP), CX")
	k.p("\tLEAQ (DX)(DX*2), BX\n\tXORL AX, AX\n\nloop:")
	k.p("\tVMOVUPS (R8)(AX*1), Y0\n\tVMOVUPS (R9)(AX*1), Y1\n\tVMOVUPS (R10)(AX*1), Y2")
	k.fourth("VMOVUPS (R11)(AX*1), Y3")
	k.p("\tVMOVUPS Y4, (DI)\n\tVMOVUPS Y5, (DI)(DX*1)\n\tVMOVUPS Y6, (DI)(DX*2)\n\tVMOVUPS Y7, (DI)(BX*1)")
	k.p("\tADDQ $32, AX\n\tADDQ $32, DI\n\tSUBQ $8, CX\n\tJG loop\n\tVZEROUPPER\n\tRET")
}

// fourth sets Y4…Y7 to d0-d2, d1+d2, d2-d1, d1-d3.
func (k *kernel) fourth(last string) {
	k.p("\t%s\n\tVSUBPS Y2, Y0, Y4\n\tVADDPS Y2, Y1, Y5\n\tVSUBPS Y1, Y2, Y6\n\tVSUBPS Y3, Y1, Y7", last)
}

// winoColumns: the same along a row, for tiles that begin two pixels apart.
func (k *kernel) winoColumns() {
	k.p("\n// func winoColumns(v, t unsafe.Pointer, tiles, c, plane int)")
	k.p("TEXT ·winoColumns(SB), NOSPLIT, $0-40\n\tMOVQ v+0(FP), DI\n\tMOVQ t+8(FP), SI\n\tMOVQ tiles+16(FP), R8\n\tMOVQ c+24(FP), R9\n\tMOVQ plane+32(FP), DX")
	k.p("\tLEAQ (DX)(DX*2), BX\n\tSHLQ $2, R9\n\tLEAQ (R9)(R9*2), R10\n\ntile:\n\tMOVQ R9, CX\n\nloop:")
	k.p("\tVMOVUPS (SI), Y0\n\tVMOVUPS (SI)(R9*1), Y1\n\tVMOVUPS (SI)(R9*2), Y2")
	k.fourth("VMOVUPS (SI)(R10*1), Y3")
	k.p("\tVMOVUPS Y4, (DI)\n\tVMOVUPS Y5, (DI)(DX*1)\n\tVMOVUPS Y6, (DI)(DX*2)\n\tVMOVUPS Y7, (DI)(BX*1)")
	k.p("\tADDQ $32, SI\n\tADDQ $32, DI\n\tSUBQ $32, CX\n\tJG loop\n\tADDQ R9, SI\n\tDECQ R8\n\tJNZ tile\n\tVZEROUPPER\n\tRET")
}

// winoOutput: Aᵀ·m·A of tiles side by side, into two rows of pixels.
func (k *kernel) winoOutput() {
	k.p("\n// func winoOutput(y0, y1, m unsafe.Pointer, tiles, k, plane int, add bool)")
	k.p("TEXT ·winoOutput(SB), NOSPLIT, $0-49\n\tMOVQ y0+0(FP), R8\n\tMOVQ y1+8(FP), R9\n\tMOVQ m+16(FP), SI\n\tMOVQ tiles+24(FP), R10\n\tMOVQ k+32(FP), R11\n\tMOVQ plane+40(FP), DX\n\tMOVBLZX add+48(FP), AX")
	k.p("\tLEAQ (DX)(DX*2), BX\n\tSHLQ $2, R11\n\ntile:\n\tMOVQ R11, CX\n\nloop:\n\tMOVQ SI, DI")
	for r := range 4 {
		k.p("\tVMOVUPS (DI), Y4\n\tVMOVUPS (DI)(DX*1), Y5\n\tVMOVUPS (DI)(DX*2), Y6")
		k.p("\tVADDPS Y6, Y5, Y7\n\tVSUBPS Y6, Y5, Y8\n\tVADDPS Y7, Y4, Y9\n\tVSUBPS (DI)(BX*1), Y8, Y10")
		if r < 3 {
			k.p("\tLEAQ (DI)(DX*4), DI")
		}
		switch r { // Y0, Y1: upper left and right; Y2, Y3: lower
		case 0:
			k.p("\tVMOVAPS Y9, Y0\n\tVMOVAPS Y10, Y1")
		case 1:
			k.p("\tVADDPS Y9, Y0, Y0\n\tVADDPS Y10, Y1, Y1\n\tVMOVAPS Y9, Y2\n\tVMOVAPS Y10, Y3")
		case 2:
			k.p("\tVADDPS Y9, Y0, Y0\n\tVADDPS Y10, Y1, Y1\n\tVSUBPS Y9, Y2, Y2\n\tVSUBPS Y10, Y3, Y3")
		case 3:
			k.p("\tVSUBPS Y9, Y2, Y2\n\tVSUBPS Y10, Y3, Y3")
		}
	}
	at := []string{"(R8)", "(R8)(R11*1)", "(R9)", "(R9)(R11*1)"}
	k.p("\tTESTL AX, AX\n\tJZ store")
	for i, y := range at {
		k.p("\tVADDPS %s, Y%d, Y%d", y, i, i)
	}
	k.p("\nstore:")
	for i, y := range at {
		k.p("\tVMOVUPS Y%d, %s", i, y)
	}
	k.p("\tADDQ $32, SI\n\tADDQ $32, R8\n\tADDQ $32, R9\n\tSUBQ $32, CX\n\tJG loop\n\tADDQ R11, R8\n\tADDQ R11, R9\n\tDECQ R10\n\tJNZ tile\n\tVZEROUPPER\n\tRET")
}

// winoWeights: G·g·Gᵀ of n floats of each of nine taps.
func (k *kernel) winoWeights() {
	k.p("\nDATA winoHalf<>+0(SB)/4, $0.5\nGLOBL winoHalf<>(SB), (8+16), $4")
	k.p("\n// func winoWeights(dst, src unsafe.Pointer, n, dstStep, srcStep int)")
	k.p("TEXT ·winoWeights(SB), NOSPLIT, $0-40\n\tMOVQ dst+0(FP), DI\n\tMOVQ src+8(FP), SI\n\tMOVQ n+16(FP), CX\n\tMOVQ dstStep+24(FP), DX\n\tMOVQ srcStep+32(FP), R8")
	k.p("\tVBROADCASTSS winoHalf<>(SB), Y15\n\tLEAQ (R8)(R8*2), R9\n\tLEAQ (DX)(DX*2), BX\n\nloop:\n\tMOVQ SI, R10\n\tMOVQ DI, R11")
	half := func(g0, g1, g2, plus, minus string) { // (g0±g1+g2)/2
		k.p("\tVADDPS %s, %s, Y14\n\tVADDPS %s, Y14, Y13\n\tVSUBPS %s, Y14, Y14\n\tVMULPS Y15, Y13, %s\n\tVMULPS Y15, Y14, %s", g2, g0, g1, g1, plus, minus)
	}
	for s := range 3 { // column s of Gg in Y(s), Y(3+s), Y(6+s), Y(9+s)
		y := func(r int) string { return fmt.Sprintf("Y%d", 3*r+s) }
		k.p("\tVMOVUPS (R10), %s\n\tVMOVUPS (R10)(R9*1), Y12\n\tLEAQ (R10)(R9*2), AX\n\tVMOVUPS (AX), %s\n\tADDQ R8, R10", y(0), y(3))
		half(y(0), "Y12", y(3), y(1), y(2))
	}
	for r := range 4 {
		y := func(s int) string { return fmt.Sprintf("Y%d", 3*r+s) }
		half(y(0), y(1), y(2), "Y12", "Y13")
		k.p("\tVMOVUPS %s, (R11)\n\tVMOVUPS Y12, (R11)(DX*1)\n\tVMOVUPS Y13, (R11)(DX*2)\n\tVMOVUPS %s, (R11)(BX*1)", y(0), y(2))
		if r < 3 {
			k.p("\tLEAQ (R11)(DX*4), R11")
		}
	}
	k.p("\tADDQ $32, SI\n\tADDQ $32, DI\n\tSUBQ $8, CX\n\tJG loop\n\tVZEROUPPER\n\tRET")
}
