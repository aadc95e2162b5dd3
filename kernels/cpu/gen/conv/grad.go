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
// Y2 of a row, Y3 the mask, from Y4 accumulators.
var gradRows = []string{"R8", "R9", "R10", "R11", "R12", "R13", "R15", "AX"}

// grad writes the kernel. A narrow one always loads its lanes under the mask.
func (k kernel) grad() {
	k.p("\tMOVQ %d(AX), CX\n\tVMOVUPS (CX), Y3\n\tMOVQ %d(AX), BX", gMask, gFlags)
	k.p("\tMOVQ %d(AX), R14\n\tMOVQ %d(AX), SI\n\tMOVQ %d(AX), DI\n\tMOVQ %d(AX), CX\n\tMOVQ %d(AX), DX", gTab, gRowStep, gLaneStep, gRows, gRowSide)
	k.pointers(gradRows, "CX", "DX")
	k.clear()
	masked := k.width == 8
	if !masked && !k.depthwise {
		k.p("\tTESTQ $%d, BX\n\tJZ all@", flagMask)
		k.gradLoops("Masked", true)
		k.p("\tJMP summed@\n\nall@:")
	}
	k.gradLoops("", masked)
	k.p("\nsummed@:")
	k.write()
}

func (k *kernel) gradLoops(suffix string, masked bool) {
	k.p("\nseg%s@:\n\tMOVQ a+0(FP), CX\n\tMOVLQSX (R14), DX\n\tMOVLQSX 4(R14), BX\n\tADDQ $8, R14", suffix)
	k.p("\tADDQ %d(CX), BX\n\tMOVQ %d(CX), CX\n\tPCALIGN $32\n\npixel%s@:", gLaneSide, gCount, suffix)
	for v := range k.vectors() {
		if masked && v == k.vectors()-1 {
			k.p("\tVMASKMOVPS %d(BX), Y3, Y%d", 32*v, v)
		} else {
			k.p("\tVMOVUPS %d(BX), Y%d", 32*v, v)
		}
	}
	for r := range k.n {
		if !k.depthwise {
			k.p("\tVBROADCASTSS (%s)(DX*1), Y2", gradRows[r])
		}
		for v := range k.vectors() {
			row := "Y2"
			if k.depthwise {
				row = fmt.Sprintf("%d(%s)(DX*1)", 32*v, gradRows[r])
				if masked {
					k.p("\tVMASKMOVPS %s, Y3, Y2", row)
					row = "Y2"
				}
			}
			k.p("\tVFMADD231PS %s, Y%d, Y%d", row, v, k.acc(0, r, v))
		}
	}
	k.p("\tADDQ SI, DX\n\tADDQ DI, BX\n\tDECQ CX\n\tJNZ pixel%s@", suffix)
	k.p("\tMOVQ a+0(FP), CX\n\tDECQ %d(CX)\n\tJNZ seg%s@\n", gSegs, suffix)
}

// write stores the rows, or adds them to what is there.
func (k *kernel) write() {
	k.p("\tMOVQ a+0(FP), AX\n\tMOVQ %d(AX), CX\n\tADDQ $32, CX\n\tMOVQ %d(AX), DX\n\tMOVQ %d(AX), BX", gRows, gOut, gFlags)
	at := []string{"R8", "R9", "R10", "R11", "R12", "R13", "SI", "DI"}
	k.pointers(at, "CX", "DX")
	k.p("\tTESTQ $%d, BX\n\tJNZ masked@\n\tTESTQ $%d, BX\n\tJZ noAdd@", flagMask, flagAdd)
	k.add(at, false)
	k.p("\nnoAdd@:")
	k.store(at)
	k.p("\tVZEROUPPER\n\tRET\n\nmasked@:\n\tTESTQ $%d, BX\n\tJZ noAddMasked@", flagAdd)
	k.add(at, true)
	k.p("\nnoAddMasked@:\n\tMOVQ %d(AX), CX", gLanes)
	k.storeLanes(at, "CX")
}
