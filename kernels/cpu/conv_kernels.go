package cpu

import "unsafe"

//go:generate go run ./gen/conv -o conv_amd64.s

// convTileArgs is what a tile kernel reads; gen/conv/tile.go knows the
// offsets. All distances are bytes. The kernel computes `tiles` tiles of
// `pixels` pixels (at most 6 by 16 channels, 8 by 8 or 4) and moves xOff and
// yOff on. It sums rows·segs runs of values of x, each of 4·run4+run1 steps
// (depthwise: one vector). A step is one value against a row of weights, one a
// channel; for 4 channels two values against 8 weights that alternate, and
// odd says that a last value follows.
type convTileArgs struct {
	pixels     int
	x, w, y    unsafe.Pointer // first image of the group, weights of the block, first image
	xOff, yOff unsafe.Pointer // *int32: where each pixel's taps begin, and where it is stored
	tiles      int
	run4, run1 int
	odd        int
	segs, rows int
	segSkip    int // from the end of a run to the next; depthwise: from tap to tap
	rowSkip    int // added at the end of a row of runs
	wSkip      int // from the weights of one row to those of the next
	bias       unsafe.Pointer
	flags      int
	mask       unsafe.Pointer // 8 lanes of the last vector; set ones exist
	lanes      int            // how many exist, with convMasked

	// Depthwise kernels do blocks of channels in turn for every tile.
	blocks, left  int // both their number
	xBack         int // bytes of channels in blocks
	wBlock, wBack int // bytes of a block's weights, of all blocks'
}

// Flags of tile and grad kernels; gen/conv/tile.go knows them.
const (
	convAdd  = 1 << iota // to what the output holds
	convBias             // add the channels' bias
	convReLU
	convMasked // the last vector's lanes do not all exist
)

// convGradArgs is what a grad kernel reads; gen/conv/grad.go knows the
// offsets. It sums, for n rows and a block of lanes, products of a row's value
// and the lanes' values over segs runs of count pixels. Each run begins at a
// pair of byte offsets in tab, into the rows' and the lanes' side. (With one
// output channel a lane, rows belong to x and lanes to dy.)
type convGradArgs struct {
	n                 int
	rowSide, laneSide unsafe.Pointer
	out               unsafe.Pointer
	rows              unsafe.Pointer // *gradRows
	tab               unsafe.Pointer // *int32
	segs, count       int
	rowStep, laneStep int // bytes from pixel to pixel
	flags             int
	mask              unsafe.Pointer
	lanes             int // with convMasked
}

// gradRows are up to 8 rows of a weight gradient: where their values and where
// their results lie, in bytes.
type gradRows struct {
	from, to [8]int32
	n        int
}

// convMasks holds, from 8-n on, a mask of n lanes.
var convMasks = [16]int32{-1, -1, -1, -1, -1, -1, -1, -1}

func convMask(n int) unsafe.Pointer { return unsafe.Pointer(&convMasks[8-n]) }

// addr is the address of s[i].
func addr[T float32 | int32](s []T, i int) unsafe.Pointer { return unsafe.Pointer(&s[i]) }
