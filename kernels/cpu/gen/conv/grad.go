package main

import "fmt"

// Offsets in convGradArgs; keep with conv_kernels.go.
const (
	gN = 8 * iota
	gRowSide
	gLaneSide
	gOut
	gRows
	gTab
	gSegs
	gCount
	gRowStep
	gLaneStep
	gFlags
	gMask
	gLanes
)

// Registers: row pointers as below, DX their shared index, BX the lanes' side,
// SI and DI the steps from pixel to pixel, CX pixels, R14 the table of runs of
// pixels; AX the arguments before and after the loops. Y0, Y1 values of lanes,
// Y2, Y3 of rows, from Y4 accumulators.
var gradRows = []string{"R8", "R9", "R10", "R11", "R12", "R13", "R15", "AX"}

// grad writes the kernel. The narrow one loads under a mask, in Y3.
func (k kernel) grad() {
	if k.width == 8 {
		k.p("\tMOVQ %d(AX), CX\n\tVMOVUPS (CX), Y3", gMask)
	}
	k.p("\tMOVQ %d(AX), R14\n\tMOVQ %d(AX), SI\n\tMOVQ %d(AX), DI\n\tMOVQ %d(AX), CX\n\tMOVQ %d(AX), DX", gTab, gRowStep, gLaneStep, gRows, gRowSide)
	k.pointers(gradRows, "CX", "DX")
	k.clear()
	k.p("\nseg@:\n\tMOVQ a+0(FP), CX\n\tMOVLQSX (R14), DX\n\tMOVLQSX 4(R14), BX\n\tADDQ $8, R14\n\tADDQ %d(CX), BX\n\tMOVQ %d(CX), CX\n\tPCALIGN $32\n\npixel@:", gLaneSide, gCount)
	k.gradStep()
	k.p("\tADDQ SI, DX\n\tADDQ DI, BX\n\tDECQ CX\n\tJNZ pixel@")
	k.p("\tMOVQ a+0(FP), CX\n\tDECQ %d(CX)\n\tJNZ seg@\n", gSegs)
	k.store()
}

func (k *kernel) gradStep() {
	for v := range k.vectors() {
		if k.width == 8 {
			k.p("\tVMASKMOVPS (BX), Y3, Y0")
		} else {
			k.p("\tVMOVUPS %d(BX), Y%d", 32*v, v)
		}
	}
	for r := range k.n {
		x := 1 + r%2
		if k.width == 16 {
			x++
		}
		if !k.depthwise {
			k.p("\tVBROADCASTSS (%s)(DX*1), Y%d", gradRows[r], x)
		}
		for v := range k.vectors() {
			from := fmt.Sprintf("Y%d", x)
			if k.depthwise {
				from = fmt.Sprintf("%d(%s)(DX*1)", 32*v, gradRows[r])
				if k.width == 8 {
					k.p("\tVMASKMOVPS %s, Y3, Y%d", from, x)
					from = fmt.Sprintf("Y%d", x)
				}
			}
			k.p("\tVFMADD231PS %s, Y%d, Y%d", from, v, k.acc(0, r, v))
		}
	}
}

// store writes the rows, or adds them to what is there.
func (k *kernel) store() {
	k.p("\tMOVQ a+0(FP), AX\n\tMOVQ %d(AX), CX\n\tADDQ $32, CX\n\tMOVQ %d(AX), DX\n\tMOVQ %d(AX), BX", gRows, gOut, gFlags)
	at := []string{"R8", "R9", "R10", "R11", "R12", "R13", "SI", "DI"}
	k.pointers(at, "CX", "DX")
	k.p("\tTESTQ $%d, BX\n\tJZ noAdd@", flagAdd)
	k.each(func(r, v, acc int) {
		if k.width == 8 {
			k.p("\tVMASKMOVPS (%s), Y3, Y%d\n\tVADDPS Y%d, Y%d, Y%d", at[r], r%2, r%2, acc, acc)
			return
		}
		k.p("\tVADDPS %d(%s), Y%d, Y%d", 32*v, at[r], acc, acc)
	})
	k.p("\nnoAdd@:")
	if k.width == 8 {
		k.p("\tTESTQ $%d, BX\n\tJNZ masked@", flagMask)
	}
	k.each(func(r, v, acc int) { k.p("\tVMOVUPS Y%d, %d(%s)", acc, 32*v, at[r]) })
	if k.width == 8 {
		k.p("\tVZEROUPPER\n\tRET\n\nmasked@:")
		k.p("\tMOVQ %d(AX), CX", gLanes)
		k.storeLanes(at, "CX")
	}
}
