package main

import "fmt"

// Offsets in convTileArgs; keep with conv_kernels.go.
const (
	tPixels = 8 * iota
	tX
	tW
	tY
	tXOff
	tYOff
	tTiles
	tRun4
	tRun1
	tOdd
	tSegs
	tRows
	tSegSkip
	tRowSkip
	tWSkip
	tBias
	tFlags
	tMask
	tLanes
	tBlocks
	tLeft
	tXBack
	tWBlock
	tWBack
)

// Bits of convTileArgs' flags.
const (
	flagAdd = 1 << iota
	flagBias
	flagReLU
	flagMask
)

// Registers: AX arguments, pixel pointers as below, DX the shared index into
// x, BX weights, CX steps, R14 runs of a row, R15 rows. Y0, Y1 weights, Y2
// values of x, Y3 the mask, from Y4 accumulators.
var pixels = []string{"R8", "R9", "R10", "R11", "R12", "R13", "SI", "DI"}

// tile writes the kernel. Few pixels alone would wait for the latency of the
// multiply-add, so steps then alternate between several sets of accumulators.
func (k kernel) tile() {
	for !k.depthwise && 2*k.phases*k.n*k.vectors() <= 12 && k.phases < 4 {
		k.phases *= 2
	}
	k.p("\ntile@:\n\tMOVQ %d(AX), CX\n\tMOVQ %d(AX), DX", tXOff, tX)
	k.pointers(pixels, "CX", "DX")
	k.clear()
	k.p("\tXORL DX, DX\n\tMOVQ %d(AX), BX\n\tMOVQ %d(AX), R15", tW, tRows)
	if k.depthwise {
		k.depthLoops()
	} else {
		k.denseLoops()
	}
	for ph := 1; ph < k.phases; ph++ {
		k.each(func(r, v, acc int) { k.p("\tVADDPS Y%d, Y%d, Y%d", k.acc(ph, r, v), acc, acc) })
	}
	if k.width == 4 {
		k.foldPairs()
	}
	k.finish()
	if k.depthwise {
		k.nextBlock()
	}
	k.p("\n\tADDQ $%d, %d(AX)\n\tADDQ $%d, %d(AX)\n\tDECQ %d(AX)\n\tJNZ tile@", 4*k.n, tXOff, 4*k.n, tYOff, tTiles)
}

// foldPairs adds the two halves of every sum: pixels by twos, so that each
// ends in the low half of its register.
func (k *kernel) foldPairs() {
	for r := 0; r < k.n; r += 2 {
		a, b := k.acc(0, r, 0), k.acc(0, min(r+1, k.n-1), 0)
		k.p("\tVHADDPS Y%d, Y%d, Y%d\n\tVPERMPD $0xD8, Y%d, Y%d", b, a, a, a, a)
		if a != b {
			k.p("\tVEXTRACTF128 $1, Y%d, X%d", a, b)
		}
	}
}

// nextBlock moves on to the tile's next channels, then back to the first. A
// depthwise tile does all its channels in turn, because they lie side by side
// in memory and there are no weights to keep.
func (k *kernel) nextBlock() {
	moved := []int{tX, tY, tBias}
	for _, at := range moved {
		k.p("\tADDQ $%d, %d(AX)", 4*k.width, at)
	}
	k.p("\tMOVQ %d(AX), CX\n\tADDQ CX, %d(AX)\n\tDECQ %d(AX)\n\tJNZ tile@\n\tMOVQ %d(AX), CX", tWBlock, tW, tLeft, tXBack)
	for _, at := range moved {
		k.p("\tSUBQ CX, %d(AX)", at)
	}
	k.p("\tMOVQ %d(AX), CX\n\tSUBQ CX, %d(AX)\n\tMOVQ %d(AX), CX\n\tMOVQ CX, %d(AX)", tWBack, tW, tBlocks, tLeft)
}

// denseLoops steps through runs of values of x. With four channels a step
// takes two values: the lanes of weights alternate between them, and what they
// sum is added up at the end; the last of an odd run is a step of its own.
func (k *kernel) denseLoops() {
	x, w := 4, 4*k.width
	if k.width == 4 {
		x, w = 8, 32
	}
	k.p("\nrow@:\n\tMOVQ %d(AX), R14", tSegs)
	k.p("\nseg@:\n\tMOVQ %d(AX), CX\n\tTESTQ CX, CX\n\tJZ rest@\n\tPCALIGN $32\n\nfour@:", tRun4)
	if k.splat() > 0 {
		k.fourSteps(x, w)
	} else {
		for s := range 4 {
			k.denseStep(s, x, w)
		}
	}
	k.p("\tADDQ $%d, DX\n\tADDQ $%d, BX\n\tDECQ CX\n\tJNZ four@", 4*x, 4*w)
	k.p("\nrest@:\n\tMOVQ %d(AX), CX\n\tTESTQ CX, CX\n\tJZ next@\n\none@:", tRun1)
	k.denseStep(0, x, w)
	k.p("\tADDQ $%d, DX\n\tADDQ $%d, BX\n\tDECQ CX\n\tJNZ one@\n\nnext@:", x, w)
	if k.width == 4 {
		k.p("\tCMPQ %d(AX), $0\n\tJEQ even@\n\tVMOVUPS (BX), Y0", tOdd)
		for r := range k.n {
			k.p("\tVMOVSS (%s)(DX*1), X2\n\tVBROADCASTSD X2, Y2\n\tVFMADD231PS Y0, Y2, Y%d", pixels[r], k.acc(0, r, 0))
		}
		k.p("\tADDQ $4, DX\n\tADDQ $32, BX\n\neven@:")
	}
	k.p("\tADDQ %d(AX), DX\n\tDECQ R14\n\tJNZ seg@", tSegSkip)
	k.p("\tADDQ %d(AX), DX\n\tADDQ %d(AX), BX\n\tDECQ R15\n\tJNZ row@\n", tRowSkip, tWSkip)
}

// denseStep multiplies step s of every pixel by the channels' weights.
func (k *kernel) denseStep(s, x, w int) {
	for v := range k.vectors() {
		k.p("\tVMOVUPS %d(BX), Y%d", w*s+32*v, v)
	}
	load := "VBROADCASTSS"
	if k.width == 4 {
		load = "VBROADCASTSD"
	}
	for r := range k.n {
		k.p("\t%s %d(%s)(DX*1), Y2", load, x*s, pixels[r])
		for v := range k.vectors() {
			k.p("\tVFMADD231PS Y%d, Y2, Y%d", v, k.acc(s%k.phases, r, v))
		}
	}
}

// splat is how many pixels of a narrow kernel have their values spread by
// shuffles instead of loads, of which it has more than the processor can start
// beside the multiply-adds.
func (k *kernel) splat() int {
	if k.vectors() > 1 || k.phases > 1 {
		return 0
	}
	return k.n / 2
}

// fourSteps does what four calls of denseStep do.
func (k *kernel) fourSteps(x, w int) {
	for s := range 4 {
		k.p("\tVMOVUPS %d(BX), Y0", w*s)
		for r := range k.n {
			from := 12 + r
			switch {
			case r >= k.splat() && k.width == 4:
				k.p("\tVBROADCASTSD %d(%s)(DX*1), Y2", x*s, pixels[r])
			case r >= k.splat():
				k.p("\tVBROADCASTSS %d(%s)(DX*1), Y2", x*s, pixels[r])
			case k.width == 4:
				if s%2 == 0 {
					k.p("\tVBROADCASTF128 %d(%s)(DX*1), Y%d", x*s, pixels[r], from)
				}
				k.p("\tVPERMILPD $%d, Y%d, Y2", s%2*15, from)
			default:
				if s == 0 {
					k.p("\tVBROADCASTF128 (%s)(DX*1), Y%d", pixels[r], from)
				}
				k.p("\tVPERMILPS $%d, Y%d, Y2", s*0x55, from)
			}
			k.p("\tVFMADD231PS Y0, Y2, Y%d", k.acc(0, r, 0))
		}
	}
}

// depthLoops: every run is one vector of channels. The narrow kernel loads x
// under a mask.
func (k *kernel) depthLoops() {
	if k.width == 8 {
		k.p("\tMOVQ %d(AX), CX\n\tVMOVUPS (CX), Y3", tMask)
	}
	k.p("\tMOVQ %d(AX), CX", tSegSkip)
	k.p("\nrow@:\n\tMOVQ %d(AX), R14\n\nseg@:", tSegs)
	for v := range k.vectors() {
		k.p("\tVMOVUPS %d(BX), Y%d", 32*v, v)
	}
	k.each(func(r, v, acc int) {
		x := fmt.Sprintf("%d(%s)(DX*1)", 32*v, pixels[r])
		if k.width == 8 {
			k.p("\tVMASKMOVPS %s, Y3, Y2", x)
			x = "Y2"
		}
		k.p("\tVFMADD231PS %s, Y%d, Y%d", x, v, acc)
	})
	k.p("\tADDQ $%d, BX\n\tADDQ CX, DX\n\tDECQ R14\n\tJNZ seg@", 4*k.width)
	k.p("\tADDQ %d(AX), DX\n\tADDQ %d(AX), BX\n\tDECQ R15\n\tJNZ row@\n", tRowSkip, tWSkip)
}

// finish adds what is asked for and stores the tile.
func (k *kernel) finish() {
	R := k.reg()
	k.p("\tMOVQ %d(AX), CX\n\tMOVQ %d(AX), DX", tYOff, tY)
	k.pointers(pixels, "CX", "DX")
	k.p("\tMOVQ %d(AX), CX", tFlags)
	k.p("\tTESTQ $%d, CX\n\tJZ noBias@\n\tMOVQ %d(AX), DX", flagBias, tBias)
	for v := range k.vectors() {
		k.p("\tVMOVUPS %d(DX), %s%d", 32*v, R, v)
	}
	k.each(func(_, v, acc int) { k.p("\tVADDPS %s%d, %s%d, %s%d", R, v, R, acc, R, acc) })
	k.p("\nnoBias@:\n\tTESTQ $%d, CX\n\tJNZ masked@\n\tTESTQ $%d, CX\n\tJZ noAdd@", flagMask, flagAdd)
	k.add(pixels, false)
	k.p("\nnoAdd@:")
	k.relu("noReLU@")
	k.store(pixels)
	k.p("\tJMP stored@\n\nmasked@:\n\tMOVQ %d(AX), DX\n\tVMOVUPS (DX), Y3\n\tTESTQ $%d, CX\n\tJZ noAddMasked@", tMask, flagAdd)
	k.add(pixels, true)
	k.p("\nnoAddMasked@:")
	k.relu("noReLUMasked@")
	k.p("\tMOVQ %d(AX), CX", tLanes)
	k.storeLanes(pixels, "CX")
	k.p("\nstored@:")
}

// relu lets NaN through: the second source of VMAXPS wins then.
func (k *kernel) relu(skip string) {
	R := k.reg()
	k.p("\tTESTQ $%d, CX\n\tJZ %s\n\tVXORPS Y0, Y0, Y0", flagReLU, skip)
	k.each(func(_, _, acc int) { k.p("\tVMAXPS %s%d, %s0, %s%d", R, acc, R, R, acc) })
	k.p("\n%s:", skip)
}
