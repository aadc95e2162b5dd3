package main

// widePanels is the number of panels that a wide kernel computes.
const widePanels = 2

// wideProduct writes a micro-kernel on AVX-512: tiles of 1 to 6 rows by two
// panels, so that what a tile costs besides its products is spread over twice
// as many of them. An element of C is the same chain of multiply-adds as in
// the narrow kernels, so its bits are the same.
func wideProduct(name string, a access) {
	p("\n// func %s(a *gemmArgs)", name)
	p("TEXT ·%s(SB), NOSPLIT, $0-8", name)
	p("\tMOVQ a+0(FP), AX\n\tMOVQ %d(AX), SI\n\tMOVQ %d(AX), DI\n\tMOVQ %d(AX), R11\n\tMOVQ %d(AX), DX\n\tMOVQ %d(AX), R13\n\tMOVQ %d(AX), R15",
		argA, argC, argD, argLDA, argLDC, argLDD)
	p("\tMOVQ %d(AX), CX", argRows)
	for np := maxRows; np > 1; np-- {
		p("\tCMPQ CX, $%d\n\tJEQ tile%d", np, np)
	}
	for np := 1; np <= maxRows; np++ {
		wideTiles(np, a)
	}
}

// wideTiles emits the loop over tiles of np rows. R14 is the way from panel to
// panel while products are summed, then, as R10, a pointer to row 3.
func wideTiles(np int, a access) {
	l := func(s string) string { return s + string(rune('0'+np)) }
	c := func(r, off int) string { return row(r, off, "DI", "R10", "R13") }
	d := func(r, off int) string { return row(r, off, "R11", "R14", "R15") }
	acc := func(r, v int) int { return 8 + r*widePanels + v }
	each := func(f func(r, v int)) {
		for r := range np {
			for v := range widePanels {
				f(r, v)
			}
		}
	}
	p("\n%s:\n%s\n\tLEAQ (R13)(R13*2), R10\n\tADDQ DI, R10\n\tMOVQ %d(AX), R14\n\tMOVQ %d(AX), BX", l("tile"), a.begin, argNext, argB)
	each(func(r, v int) { p("\tPREFETCHT0 %s", c(r, panelBytes*v)) })
	each(func(r, v int) { p("\tVPXORQ Z%d, Z%d, Z%d", acc(r, v), acc(r, v), acc(r, v)) })
	step := func(s int, elem func(r int) string) {
		p("\tVMOVUPS %d(BX), Z0\n\tVMOVUPS %d(BX)(R14*1), Z1", panelBytes*s, panelBytes*s)
		for r := range np {
			p("\tVBROADCASTSS %s, Z%d", elem(r), 2+r)
			for v := range widePanels {
				p("\tVFMADD231PS Z%d, Z%d, Z%d", v, 2+r, acc(r, v))
			}
		}
	}
	p("\tMOVQ %d(AX), R12\n\tMOVQ R12, CX\n\tSHRQ $2, CX\n\tJZ %s\n\tPCALIGN $32\n\n%s:", argK, l("odd"), l("four"))
	for s := range unroll {
		step(s, func(r int) string { return a.elem(r, s) })
		if a.bump {
			a.next(1)
		}
	}
	if !a.bump {
		a.next(unroll)
	}
	p("\tADDQ $%d, BX\n\tDECQ CX\n\tJNZ %s\n\n%s:\n\tANDQ $3, R12\n\tJZ %s\n\n%s:", unroll*panelBytes, l("four"), l("odd"), l("sum"), l("one"))
	step(0, func(r int) string { return a.elem(r, 0) })
	a.next(1)
	p("\tADDQ $%d, BX\n\tDECQ R12\n\tJNZ %s\n\n%s:", panelBytes, l("one"), l("sum"))
	p("\tTESTQ R11, R11\n\tJZ %s\n\tLEAQ (R15)(R15*2), R14\n\tADDQ R11, R14", l("floor"))
	each(func(r, v int) { p("\tVADDPS %s, Z%d, Z%d", d(r, panelBytes*v), acc(r, v), acc(r, v)) })
	p("\n%s:\n\tCMPQ %d(AX), $0\n\tJEQ %s\n\tVPXORQ Z0, Z0, Z0", l("floor"), argFloor, l("store"))
	each(func(r, v int) { p("\tVMAXPS Z%d, Z0, Z%d", acc(r, v), acc(r, v)) })
	p("\n%s:", l("store"))
	each(func(r, v int) { p("\tVMOVUPS Z%d, %s", acc(r, v), c(r, panelBytes*v)) })
	p("\tADDQ %d(AX), SI\n\tADDQ %d(AX), DI\n\tADDQ %d(AX), R11", tileA, tileC, tileD)
	p("\tDECQ %d(AX)\n\tJNZ %s\n\tMOVQ SI, %d(AX)\n\tMOVQ DI, %d(AX)\n\tMOVQ R11, %d(AX)\n\tVZEROUPPER\n\tRET", argTiles, l("tile"), argA, argC, argD)
}
