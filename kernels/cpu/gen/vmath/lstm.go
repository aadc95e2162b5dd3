package main

import "fmt"

// The cell functions take a struct (see lstmCellArgs): the pointers i f g o
// are one gate stride apart.

// vector emits body once for whole vectors, once masked for the tail. move
// loads or stores a register at a pointer register.
func (a *asm) vector(body func(load, store func(y int, at string)), advance string) {
	a.p("\tSUBQ $8, CX\n\tJL tail\n\nloop:")
	body(func(y int, at string) { a.p("\tVMOVUPS %s, Y%d", at, y) },
		func(y int, at string) { a.p("\tVMOVUPS Y%d, %s", y, at) })
	a.p("%s\tSUBQ $8, CX\n\tJGE loop\n\ntail:\n\tADDQ $8, CX\n\tJZ done\n\tMOVQ R8, R15", advance)
	a.mask()
	a.p("\tMOVQ R15, R8")
	body(func(y int, at string) { a.p("\tVMASKMOVPS %s, Y15, Y%d", at, y) },
		func(y int, at string) { a.p("\tVMASKMOVPS Y%d, Y15, %s", y, at) })
	a.p("\ndone:\n\tVZEROUPPER\n\tRET")
}

func advance(regs ...string) (s string) {
	for _, r := range regs {
		s += fmt.Sprintf("\tADDQ $32, %s\n", r)
	}
	return s
}

// cell forms the new states from activated gates. Registers: SI gates i f g o
// at SI, SI+DX, SI+2·DX, R9; DI previous c, R8 c, R10 h.
func (a *asm) cell() {
	a.p("\n// func lstmCellAVX(a *lstmCellArgs)")
	a.p("TEXT ·lstmCellAVX(SB), NOSPLIT, $0-8")
	a.p("\tMOVQ a+0(FP), AX\n\tMOVQ 0(AX), SI\n\tMOVQ 8(AX), DX\n\tMOVQ 16(AX), DI\n\tMOVQ 24(AX), R8\n\tMOVQ 32(AX), R10\n\tMOVQ 40(AX), CX")
	a.p("\tLEAQ (DX)(DX*2), R9\n\tADDQ SI, R9")
	a.vector(func(load, store func(y int, at string)) {
		load(0, "(SI)")
		load(1, "(SI)(DX*2)")
		load(2, "(SI)(DX*1)")
		load(3, "(DI)")
		a.p("\tVMULPS Y0, Y1, Y0\n\tVFMADD231PS Y2, Y3, Y0") // i·g + f·c₋₁
		store(0, "(R8)")
		a.tanh(0, 1)
		load(1, "(R9)")
		a.p("\tVMULPS Y0, Y1, Y0")
		store(0, "(R10)")
	}, advance("SI", "R9", "DI", "R8", "R10"))
}

// cellGrad: gates at SI as above, gradients of the gates at BX, BX+DI,
// BX+2·DI, R10; R11 previous c, R8 c, R12 dh, R13 dc (in: by the later step,
// out: for the earlier one).
func (a *asm) cellGrad() {
	a.p("\n// func lstmCellGradAVX(a *lstmGradArgs)")
	a.p("TEXT ·lstmCellGradAVX(SB), NOSPLIT, $0-8")
	a.p("\tMOVQ a+0(FP), AX\n\tMOVQ 0(AX), SI\n\tMOVQ 8(AX), DX\n\tMOVQ 16(AX), BX\n\tMOVQ 24(AX), DI\n\tMOVQ 32(AX), R11\n\tMOVQ 40(AX), R8\n\tMOVQ 48(AX), R12\n\tMOVQ 56(AX), R13\n\tMOVQ 64(AX), CX")
	a.p("\tLEAQ (DX)(DX*2), R9\n\tADDQ SI, R9\n\tLEAQ (DI)(DI*2), R10\n\tADDQ BX, R10")
	a.vector(func(load, store func(y int, at string)) {
		load(0, "(R8)")
		a.tanh(0, 1)
		load(6, "(R12)")           // dh
		load(7, "(R9)")            // o
		a.p("\tVMULPS Y6, Y7, Y8") // dh·o
		a.p("\tVMULPS Y0, Y8, Y9") // dh·o·tanh c
		a.p("\tVMOVAPS Y9, Y10")   //
		a.p("\tVFNMADD231PS Y7, Y9, Y10")
		store(10, "(R10)")                                       // do = dh·o·tc·(1-o)
		load(10, "(R13)")                                        // dc
		a.p("\tVADDPS Y8, Y10, Y10\n\tVFNMADD231PS Y0, Y9, Y10") // + dh·o·(1-tc²)
		load(0, "(SI)")                                          // i
		load(1, "(SI)(DX*2)")                                    // g
		load(2, "(SI)(DX*1)")                                    // f
		load(3, "(R11)")                                         // c₋₁
		a.p("\tVMULPS Y0, Y10, Y4")                              // dc·i
		a.p("\tVMULPS Y1, Y4, Y5")                               // dc·i·g
		a.p("\tVMOVAPS Y5, Y6\n\tVFNMADD231PS Y0, Y5, Y6")
		store(6, "(BX)") // di = dc·g·i·(1-i)
		a.p("\tVFNMADD231PS Y1, Y5, Y4")
		store(4, "(BX)(DI*2)")      // dg = dc·i·(1-g²)
		a.p("\tVMULPS Y2, Y10, Y4") // dc·f
		store(4, "(R13)")
		a.p("\tVMULPS Y3, Y4, Y5\n\tVMOVAPS Y5, Y6\n\tVFNMADD231PS Y2, Y5, Y6")
		store(6, "(BX)(DI*1)") // df = dc·c₋₁·f·(1-f)
	}, advance("SI", "R9", "BX", "R10", "R11", "R8", "R12", "R13"))
}
