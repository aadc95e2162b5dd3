package main

// pack writes what arranges weights for the tile kernels.
func (a *asm) pack() {
	k := kernel{asm: a}
	k.p("\n// func convPack16(dst, src unsafe.Pointer, rows, stride int)")
	k.p("TEXT ·convPack16(SB), NOSPLIT, $0-32\n\tMOVQ dst+0(FP), DI\n\tMOVQ src+8(FP), SI\n\tMOVQ rows+16(FP), CX\n\tMOVQ stride+24(FP), DX")
	k.p("\tMOVQ DX, BX\n\tSHLQ $4, BX\n\nrow:")
	k.p("\tPREFETCHT0 (SI)(BX*1)\n\tVMOVUPS (SI), Y0\n\tVMOVUPS 32(SI), Y1\n\tVMOVUPS Y0, (DI)\n\tVMOVUPS Y1, 32(DI)")
	k.p("\tADDQ DX, SI\n\tADDQ $64, DI\n\tDECQ CX\n\tJNZ row\n\tVZEROUPPER\n\tRET")

	k.p("\n// func convTurn8(dst, src unsafe.Pointer, n, stride, width int)")
	k.p("TEXT ·convTurn8(SB), NOSPLIT, $0-40\n\tMOVQ dst+0(FP), DI\n\tMOVQ src+8(FP), SI\n\tMOVQ n+16(FP), CX\n\tMOVQ stride+24(FP), DX\n\tMOVQ width+32(FP), R8")
	k.p("\tLEAQ (DX)(DX*2), R9\n\tLEAQ (R8)(R8*2), R10\n\nblock:\n\tLEAQ (SI)(DX*4), R11\n\tLEAQ (DI)(R8*4), R12")
	// Halves of rows i and i+4 share a register, then 4x4 transpositions do.
	at := []string{"(SI)", "(SI)(DX*1)", "(SI)(DX*2)", "(SI)(R9*1)"}
	low := []string{"(R11)", "(R11)(DX*1)", "(R11)(DX*2)", "(R11)(R9*1)"}
	for i := range 4 {
		k.p("\tVMOVUPS %s, X%d\n\tVINSERTF128 $1, %s, Y%d, Y%d", at[i], i, low[i], i, i)
	}
	for i := range 4 {
		k.p("\tVMOVUPS %s, X%d\n\tVINSERTF128 $1, %s, Y%d, Y%d", "16"+at[i], 4+i, "16"+low[i], 4+i, 4+i)
	}
	to := []string{"(DI)", "(DI)(R8*1)", "(DI)(R8*2)", "(DI)(R10*1)", "(R12)", "(R12)(R8*1)", "(R12)(R8*2)", "(R12)(R10*1)"}
	for h := range 2 {
		r := 4 * h
		k.p("\tVUNPCKLPS Y%d, Y%d, Y8\n\tVUNPCKHPS Y%d, Y%d, Y9", r+1, r, r+1, r)
		k.p("\tVUNPCKLPS Y%d, Y%d, Y10\n\tVUNPCKHPS Y%d, Y%d, Y11", r+3, r+2, r+3, r+2)
		k.p("\tVUNPCKLPD Y10, Y8, Y12\n\tVUNPCKHPD Y10, Y8, Y13\n\tVUNPCKLPD Y11, Y9, Y14\n\tVUNPCKHPD Y11, Y9, Y15")
		for i := range 4 {
			k.p("\tVMOVUPS Y%d, %s", 12+i, to[r+i])
		}
	}
	k.p("\tADDQ $32, SI\n\tLEAQ (DI)(R8*8), DI\n\tDECQ CX\n\tJNZ block\n\tVZEROUPPER\n\tRET")

	k.p("\n// func convPrefetch(p unsafe.Pointer, lines int)")
	k.p("TEXT ·convPrefetch(SB), NOSPLIT, $0-16\n\tMOVQ p+0(FP), AX\n\tMOVQ lines+8(FP), CX\n")
	k.p("line:\n\tDECQ CX\n\tJL done\n\tPREFETCHT0 (AX)\n\tADDQ $64, AX\n\tJMP line\n\ndone:\n\tRET")
}
