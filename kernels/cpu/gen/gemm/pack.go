package main

// packWide copies k rows of 16·count floats into count panels, all panels of a
// row at a time: rows of a wide matrix lie pages apart, so every visit counts.
func packWide() {
	p("\n// func packWide(dst, src *float32, ld uintptr, k int, next uintptr, count int): count panels, dst[k][16] = src, rows ld bytes apart, panels next bytes apart; k, count > 0")
	p("TEXT ·packWide(SB), NOSPLIT, $0-48")
	p("\tMOVQ dst+0(FP), DI\n\tMOVQ src+8(FP), SI\n\tMOVQ ld+16(FP), DX\n\tMOVQ k+24(FP), CX\n\tMOVQ next+32(FP), R12\n\tMOVQ count+40(FP), R13\n\tLEAQ (SI)(DX*8), R11")
	p("\nrow:\n\tMOVQ SI, R8\n\tMOVQ DI, R9\n\tMOVQ R11, R10\n\tMOVQ R13, BX\n\npanel:")
	p("\tPREFETCHT0 (R10)\n\tVMOVUPS (R8), Y0\n\tVMOVUPS 32(R8), Y1\n\tVMOVUPS Y0, (R9)\n\tVMOVUPS Y1, 32(R9)\n\tADDQ $64, R8\n\tADDQ $64, R10\n\tADDQ R12, R9\n\tDECQ BX\n\tJNZ panel")
	p("\tADDQ DX, SI\n\tADDQ DX, R11\n\tADDQ $64, DI\n\tDECQ CX\n\tJNZ row\n\tVZEROUPPER\n\tRET")
}

// packNarrow copies k rows of fewer than 16 floats into a panel.
func packNarrow() {
	p("\n// func packNarrow(dst, src *float32, ld uintptr, k int, mask *int32): dst[k][16] = src or 0, rows ld bytes apart; k > 0")
	p("TEXT ·packNarrow(SB), NOSPLIT, $0-40")
	p("\tMOVQ dst+0(FP), DI\n\tMOVQ src+8(FP), SI\n\tMOVQ ld+16(FP), DX\n\tMOVQ k+24(FP), CX\n\tMOVQ mask+32(FP), AX\n\tVMOVUPS (AX), Y2\n\tVMOVUPS 32(AX), Y3\n\nrow:")
	p("\tVMASKMOVPS (SI), Y2, Y0\n\tVMASKMOVPS 32(SI), Y3, Y1\n\tVMOVUPS Y0, (DI)\n\tVMOVUPS Y1, 32(DI)\n\tADDQ DX, SI\n\tADDQ $64, DI\n\tDECQ CX\n\tJNZ row\n\tVZEROUPPER\n\tRET")
}

// packTransposed turns eight rows of 8·k8 floats into half a panel.
func packTransposed() {
	p("\n// func packTransposed(dst, src *float32, ld uintptr, k8 int): dst[k][16] (8 of 16 columns) = srcᵀ, k = 8·k8")
	p("TEXT ·packTransposed(SB), NOSPLIT, $0-32")
	p("\tMOVQ dst+0(FP), DI\n\tMOVQ src+8(FP), R8\n\tMOVQ ld+16(FP), DX\n\tMOVQ k8+24(FP), CX\n\tTESTQ CX, CX\n\tJZ done\n\tLEAQ (DX)(DX*2), R9\n\tLEAQ (R8)(DX*4), R10\n\nblock:")
	rows := []string{"(R8)", "(R8)(DX*1)", "(R8)(DX*2)", "(R8)(R9*1)"}
	low := []string{"(R10)", "(R10)(DX*1)", "(R10)(DX*2)", "(R10)(R9*1)"}
	// Y0-3: columns 0-3 of rows r and r+4; Y4-7: columns 4-7.
	for r := range 4 {
		p("\tVMOVUPS %s, X%d\n\tVINSERTF128 $1, %s, Y%d, Y%d", rows[r], r, low[r], r, r)
		p("\tVMOVUPS 16%s, X%d\n\tVINSERTF128 $1, 16%s, Y%d, Y%d", rows[r], r+4, low[r], r+4, r+4)
	}
	for half := range 2 {
		y := 4 * half
		p("\tVUNPCKLPS Y%d, Y%d, Y8\n\tVUNPCKHPS Y%d, Y%d, Y9\n\tVUNPCKLPS Y%d, Y%d, Y10\n\tVUNPCKHPS Y%d, Y%d, Y11", y+1, y, y+1, y, y+3, y+2, y+3, y+2)
		for i, s := range []struct{ a, b, imm int }{{8, 10, 0x44}, {8, 10, 0xee}, {9, 11, 0x44}, {9, 11, 0xee}} {
			p("\tVSHUFPS $%d, Y%d, Y%d, Y12\n\tVMOVUPS Y12, %d(DI)", s.imm, s.b, s.a, 64*(4*half+i))
		}
	}
	p("\tADDQ $32, R8\n\tADDQ $32, R10\n\tADDQ $512, DI\n\tDECQ CX\n\tJNZ block\n\ndone:\n\tVZEROUPPER\n\tRET")
}

// packTall copies k rows of 1 to 6 floats: a tile of Aᵀ.
func packTall() {
	p("\n// func packTall(dst, src *float32, ld uintptr, k, rows int): dst[k][rows] = src, rows ld bytes apart, k > 0")
	p("TEXT ·packTall(SB), NOSPLIT, $0-40")
	p("\tMOVQ dst+0(FP), DI\n\tMOVQ src+8(FP), SI\n\tMOVQ ld+16(FP), DX\n\tMOVQ k+24(FP), CX\n\tMOVQ rows+32(FP), AX")
	for np := maxRows; np > 1; np-- {
		p("\tCMPQ AX, $%d\n\tJEQ rows%d", np, np)
	}
	for np := 1; np <= maxRows; np++ {
		p("\nrows%d:", np)
		at := 0
		for _, m := range []struct {
			op string
			n  int
		}{{"VMOVUPS", 4}, {"VMOVSD", 2}, {"VMOVSS", 1}} {
			if np-at >= m.n {
				p("\t%s %d(SI), X0\n\t%s X0, %d(DI)", m.op, 4*at, m.op, 4*at)
				at += m.n
			}
		}
		p("\tADDQ DX, SI\n\tADDQ $%d, DI\n\tDECQ CX\n\tJNZ rows%d\n\tRET", 4*np, np)
	}
}

// sumRows adds k rows of 32 (or 8, or masked) columns to dst.
func sumRows() {
	p("\n// func addRowsAVX(dst, src *float32, ld uintptr, k, n int): dst[n] += the sum of k rows of src, ld bytes apart")
	p("TEXT ·addRowsAVX(SB), NOSPLIT, $0-40")
	p("\tMOVQ dst+0(FP), DI\n\tMOVQ src+8(FP), SI\n\tMOVQ ld+16(FP), DX\n\tMOVQ k+24(FP), R10\n\tMOVQ n+32(FP), CX\n\tTESTQ R10, R10\n\tJZ done\n\tSUBQ $32, CX\n\tJL eights")
	p("\nwide:\n\tVMOVUPS (DI), Y0\n\tVMOVUPS 32(DI), Y1\n\tVMOVUPS 64(DI), Y2\n\tVMOVUPS 96(DI), Y3\n\tMOVQ SI, R8\n\tMOVQ R10, BX\n\nwiderow:")
	p("\tVADDPS (R8), Y0, Y0\n\tVADDPS 32(R8), Y1, Y1\n\tVADDPS 64(R8), Y2, Y2\n\tVADDPS 96(R8), Y3, Y3\n\tADDQ DX, R8\n\tDECQ BX\n\tJNZ widerow")
	p("\tVMOVUPS Y0, (DI)\n\tVMOVUPS Y1, 32(DI)\n\tVMOVUPS Y2, 64(DI)\n\tVMOVUPS Y3, 96(DI)\n\tADDQ $128, SI\n\tADDQ $128, DI\n\tSUBQ $32, CX\n\tJGE wide")
	p("\neights:\n\tADDQ $32, CX\n\tJZ done\n\tSUBQ $8, CX\n\tJL tail\n\neight:\n\tVMOVUPS (DI), Y0\n\tMOVQ SI, R8\n\tMOVQ R10, BX\n\neightrow:\n\tVADDPS (R8), Y0, Y0\n\tADDQ DX, R8\n\tDECQ BX\n\tJNZ eightrow\n\tVMOVUPS Y0, (DI)\n\tADDQ $32, SI\n\tADDQ $32, DI\n\tSUBQ $8, CX\n\tJGE eight")
	p("\ntail:\n\tADDQ $8, CX\n\tJZ done\n\tLEAQ ·laneMask+64(SB), R8\n\tSHLQ $2, CX\n\tSUBQ CX, R8\n\tVMOVUPS (R8), Y15\n\tVMASKMOVPS (DI), Y15, Y0\n\tMOVQ SI, R8\n\tMOVQ R10, BX")
	p("\ntailrow:\n\tVMASKMOVPS (R8), Y15, Y1\n\tVADDPS Y1, Y0, Y0\n\tADDQ DX, R8\n\tDECQ BX\n\tJNZ tailrow\n\tVMASKMOVPS Y0, Y15, (DI)\n\ndone:\n\tVZEROUPPER\n\tRET")
}

// chains runs twelve independent chains of FMAs: the processor's peak.
func chains() {
	p("\n// func fmaChains(n int): n times 12 FMAs of 8 lanes")
	p("TEXT ·fmaChains(SB), NOSPLIT, $0-8\n\tMOVQ n+0(FP), CX\n\tVXORPS Y0, Y0, Y0\n\tVXORPS Y1, Y1, Y1")
	for i := range 12 {
		p("\tVXORPS Y%d, Y%d, Y%d", 4+i, 4+i, 4+i)
	}
	p("\tPCALIGN $32\n\nloop:")
	for i := range 12 {
		p("\tVFMADD231PS Y0, Y1, Y%d", 4+i)
	}
	p("\tDECQ CX\n\tJNZ loop\n\tVZEROUPPER\n\tRET")
}

// triad is a = b + s·c over n floats, n a multiple of 16.
func triad() {
	p("\n// func triadLoop(a, b, c *float32, n int): a = b + 3·c, n a multiple of 16")
	p("TEXT ·triadLoop(SB), NOSPLIT, $0-32\n\tMOVQ a+0(FP), DI\n\tMOVQ b+8(FP), SI\n\tMOVQ c+16(FP), DX\n\tMOVQ n+24(FP), CX\n\tMOVL $0x40400000, AX\n\tMOVQ AX, X2\n\tVBROADCASTSS X2, Y2\n\tSHRQ $4, CX\n\tJZ done\n\nloop:")
	p("\tVMOVUPS (DX), Y0\n\tVMOVUPS 32(DX), Y1\n\tVFMADD213PS (SI), Y2, Y0\n\tVFMADD213PS 32(SI), Y2, Y1\n\tVMOVUPS Y0, (DI)\n\tVMOVUPS Y1, 32(DI)\n\tADDQ $64, SI\n\tADDQ $64, DX\n\tADDQ $64, DI\n\tDECQ CX\n\tJNZ loop\n\ndone:\n\tVZEROUPPER\n\tRET")
}
