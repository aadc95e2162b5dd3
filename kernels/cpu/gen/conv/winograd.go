package main

import "fmt"

// winograd writes the transformations of F(2x2,3x3), each over channels that
// lie side by side: see winograd.go in package cpu. Planes of transformed
// values lie a fixed number of bytes apart. Where channels are no multiple of
// eight the last vector overlaps the one before.
func (a *asm) winograd() {
	k := kernel{asm: a}
	k.p("\nDATA winoHalf<>+0(SB)/4, $0.5\nGLOBL winoHalf<>(SB), (8+16), $4")
	for i := range 8 {
		v := uint64(0)
		if i >= 4 {
			v = 1<<64 - 1
		}
		k.p("DATA winoMask<>+%d(SB)/8, $0x%x", 8*i, v)
	}
	k.p("GLOBL winoMask<>(SB), (8+16), $64")
	k.winoRows()
	k.winoColumns()
	k.winoOutput()
	k.winoSpread()
	k.winoWeights()
	k.winoFold()
}

// overlapping ends a loop over CX bytes, from AX on, in steps of 32: the last
// step is shorter, so that it ends with the bytes. before is done before it.
func (k *kernel) overlapping(before string) {
	k.p("\tSUBQ $32, CX\n\tJLE end\n\tCMPQ CX, $32\n\tJLT last\n\tADDQ $32, AX\n\tJMP loop\n\nlast:%s", before)
	k.p("\tADDQ CX, AX\n\tMOVQ $32, CX\n\tJMP loop\n\nend:")
}

// fourth sets Y4…Y7 to d0-d2, d1+d2, d2-d1, d1-d3.
func (k *kernel) fourth(last string) {
	k.p("\tVMOVUPS %s, Y3\n\tVSUBPS Y2, Y0, Y4\n\tVADDPS Y2, Y1, Y5\n\tVSUBPS Y1, Y2, Y6\n\tVSUBPS Y3, Y1, Y7", last)
}

// winoRows: from four rows of pixels to the four rows of Bᵀd.
func (k *kernel) winoRows() {
	k.p("\n// func winoRows(dst unsafe.Pointer, step int, r0, r1, r2, r3 unsafe.Pointer, n int)")
	k.p("TEXT ·winoRows(SB), NOSPLIT, $0-56\n\tMOVQ dst+0(FP), DI\n\tMOVQ step+8(FP), DX\n\tMOVQ r0+16(FP), R8\n\tMOVQ r1+24(FP), R9\n\tMOVQ r2+32(FP), R10\n\tMOVQ r3+40(FP), R11\n\tMOVQ n+48(FP), CX")
	k.p("\tSHLQ $2, CX\n\tLEAQ (DI)(DX*1), R12\n\tLEAQ (R12)(DX*1), R13\n\tLEAQ (R13)(DX*1), R15\n\tXORL AX, AX\n\nloop:")
	k.p("\tVMOVUPS (R8)(AX*1), Y0\n\tVMOVUPS (R9)(AX*1), Y1\n\tVMOVUPS (R10)(AX*1), Y2")
	k.fourth("(R11)(AX*1)")
	k.p("\tVMOVUPS Y4, (DI)(AX*1)\n\tVMOVUPS Y5, (R12)(AX*1)\n\tVMOVUPS Y6, (R13)(AX*1)\n\tVMOVUPS Y7, (R15)(AX*1)")
	k.overlapping("")
	k.p("\tVZEROUPPER\n\tRET")
}

// winoColumns: the same along a row, for tiles that begin two pixels apart.
func (k *kernel) winoColumns() {
	k.p("\n// func winoColumns(v, t unsafe.Pointer, tiles, c, plane int)")
	k.p("TEXT ·winoColumns(SB), NOSPLIT, $0-40\n\tMOVQ v+0(FP), DI\n\tMOVQ t+8(FP), SI\n\tMOVQ tiles+16(FP), DX\n\tMOVQ c+24(FP), BX\n\tMOVQ plane+32(FP), R8")
	k.p("\tSHLQ $2, BX\n\tLEAQ (DI)(R8*1), R9\n\tLEAQ (R9)(R8*1), R10\n\tLEAQ (R10)(R8*1), R11\n\tLEAQ (SI)(BX*1), R12\n\tLEAQ (R12)(BX*1), R13\n\tLEAQ (R13)(BX*1), R15")
	k.p("\ntile:\n\tMOVQ BX, CX\n\tXORL AX, AX\n\nloop:")
	k.p("\tVMOVUPS (SI)(AX*1), Y0\n\tVMOVUPS (R12)(AX*1), Y1\n\tVMOVUPS (R13)(AX*1), Y2")
	k.fourth("(R15)(AX*1)")
	k.p("\tVMOVUPS Y4, (DI)(AX*1)\n\tVMOVUPS Y5, (R9)(AX*1)\n\tVMOVUPS Y6, (R10)(AX*1)\n\tVMOVUPS Y7, (R11)(AX*1)")
	k.overlapping("")
	for _, r := range []string{"SI", "R12", "R13", "R15"} {
		k.p("\tLEAQ (%s)(BX*2), %s", r, r)
	}
	for _, r := range []string{"DI", "R9", "R10", "R11"} {
		k.p("\tADDQ BX, %s", r)
	}
	k.p("\tDECQ DX\n\tJNZ tile\n\tVZEROUPPER\n\tRET")
}

// winoOutput: Aᵀ·m·A of tiles side by side, into two rows of pixels. The lanes
// that overlap add zero.
func (k *kernel) winoOutput() {
	k.p("\n// func winoOutput(y0, y1, m unsafe.Pointer, tiles, k, width, plane int, add bool)")
	k.p("TEXT ·winoOutput(SB), NOSPLIT, $0-57\n\tMOVQ y0+0(FP), R8\n\tMOVQ y1+8(FP), R9\n\tMOVQ m+16(FP), SI\n\tMOVQ tiles+24(FP), R10\n\tMOVQ k+32(FP), R11\n\tMOVQ plane+48(FP), DX")
	k.p("\tLEAQ (DX)(DX*2), BX\n\tSHLQ $2, R11\n\tLEAQ (R8)(R11*1), R12\n\tLEAQ (R9)(R11*1), R13")
	k.p("\ntile:\n\tMOVQ R11, CX\n\tXORL AX, AX\n\tVCMPPS $15, Y15, Y15, Y15\n\nloop:\n\tLEAQ (SI)(AX*1), DI")
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
	at := []string{"(R8)(AX*1)", "(R12)(AX*1)", "(R9)(AX*1)", "(R13)(AX*1)"}
	k.p("\tCMPB add+56(FP), $0\n\tJEQ store")
	for i, y := range at {
		k.p("\tVANDPS Y15, Y%d, Y%d\n\tVADDPS %s, Y%d, Y%d", i, i, y, i, i)
	}
	k.p("\nstore:")
	for i, y := range at {
		k.p("\tVMOVUPS Y%d, %s", i, y)
	}
	k.overlapping("\n\tLEAQ winoMask<>(SB), DI\n\tVMOVUPS (DI)(CX*1), Y15")
	k.p("\tMOVQ width+40(FP), CX\n\tLEAQ (SI)(CX*4), SI")
	for _, r := range []string{"R8", "R9", "R12", "R13"} {
		k.p("\tLEAQ (%s)(R11*2), %s", r, r)
	}
	k.p("\tDECQ R10\n\tJNZ tile\n\tVZEROUPPER\n\tRET")
}

// winoSpread: A·dy·Aᵀ, up to the signs of the last row and the last column.
func (k *kernel) winoSpread() {
	k.p("\n// func winoSpread(v, y0, y1 unsafe.Pointer, tiles, k, plane int)")
	k.p("TEXT ·winoSpread(SB), NOSPLIT, $0-48\n\tMOVQ v+0(FP), DI\n\tMOVQ y0+8(FP), R8\n\tMOVQ y1+16(FP), R9\n\tMOVQ tiles+24(FP), R10\n\tMOVQ k+32(FP), R11\n\tMOVQ plane+40(FP), DX")
	k.p("\tLEAQ (DX)(DX*2), BX\n\tSHLQ $2, R11\n\tLEAQ (R8)(R11*1), R12\n\tLEAQ (R9)(R11*1), R13\n\ntile:\n\tMOVQ R11, CX\n\tXORL AX, AX\n\nloop:\n\tLEAQ (DI)(AX*1), SI")
	k.p("\tVMOVUPS (R8)(AX*1), Y0\n\tVMOVUPS (R12)(AX*1), Y1\n\tVMOVUPS (R9)(AX*1), Y2\n\tVMOVUPS (R13)(AX*1), Y3")
	k.p("\tVADDPS Y2, Y0, Y4\n\tVADDPS Y3, Y1, Y5\n\tVSUBPS Y2, Y0, Y6\n\tVSUBPS Y3, Y1, Y7")
	for r, y := range [][2]int{{0, 1}, {4, 5}, {6, 7}, {2, 3}} {
		k.p("\tVADDPS Y%d, Y%d, Y8\n\tVSUBPS Y%d, Y%d, Y9", y[1], y[0], y[1], y[0])
		k.p("\tVMOVUPS Y%d, (SI)\n\tVMOVUPS Y8, (SI)(DX*1)\n\tVMOVUPS Y9, (SI)(DX*2)\n\tVMOVUPS Y%d, (SI)(BX*1)", y[0], y[1])
		if r < 3 {
			k.p("\tLEAQ (SI)(DX*4), SI")
		}
	}
	k.overlapping("")
	k.p("\tADDQ R11, DI")
	for _, r := range []string{"R8", "R9", "R12", "R13"} {
		k.p("\tLEAQ (%s)(R11*2), %s", r, r)
	}
	k.p("\tDECQ R10\n\tJNZ tile\n\tVZEROUPPER\n\tRET")
}

// winoWeights: G·g·Gᵀ of n floats of each of nine taps.
func (k *kernel) winoWeights() {
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

// winoFold: Gᵀ·s·G of n floats of each of 16 places, the signs of the last row
// and the last column turned.
func (k *kernel) winoFold() {
	k.p("\n// func winoFold(dst, src unsafe.Pointer, n, dstStep, srcStep int)")
	k.p("TEXT ·winoFold(SB), NOSPLIT, $0-40\n\tMOVQ dst+0(FP), DI\n\tMOVQ src+8(FP), SI\n\tMOVQ n+16(FP), CX\n\tMOVQ dstStep+24(FP), DX\n\tMOVQ srcStep+32(FP), R8")
	k.p("\tVBROADCASTSS winoHalf<>(SB), Y15\n\nloop:\n\tMOVQ SI, R10\n\tMOVQ DI, R11")
	three := func(s0, s1, s2, s3 string, out [3]string) { // s0+(s1+s2)/2, (s1-s2)/2, (s1+s2)/2-s3
		k.p("\tVMOVUPS %s, Y13\n\tVADDPS %s, Y13, Y12\n\tVSUBPS %s, Y13, Y13\n\tVMULPS Y15, Y12, Y12\n\tVMULPS Y15, Y13, %s", s1, s2, s2, out[1])
		k.p("\tVADDPS %s, Y12, %s\n\tVSUBPS %s, Y12, %s", s0, out[0], s3, out[2])
	}
	for c := range 4 { // column c of Gᵀs in Y(3c)…Y(3c+2)
		k.p("\tLEAQ (R10)(R8*8), R12\n\tLEAQ (R12)(R8*4), R13")
		three("(R10)", "(R10)(R8*4)", "(R12)", "(R13)", [3]string{fmt.Sprintf("Y%d", 3*c), fmt.Sprintf("Y%d", 3*c+1), fmt.Sprintf("Y%d", 3*c+2)})
		k.p("\tADDQ R8, R10")
	}
	for r := range 3 {
		y := func(c int) string { return fmt.Sprintf("Y%d", 3*c+r) }
		three(y(0), y(1), y(2), y(3), [3]string{"Y13", "Y14", "Y12"})
		k.p("\tVMOVUPS Y13, (R11)\n\tADDQ DX, R11\n\tVMOVUPS Y14, (R11)\n\tADDQ DX, R11\n\tVMOVUPS Y12, (R11)\n\tADDQ DX, R11")
	}
	k.p("\tADDQ $32, SI\n\tADDQ $32, DI\n\tSUBQ $8, CX\n\tJG loop\n\tVZEROUPPER\n\tRET")
}
