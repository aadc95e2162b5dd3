package cpu

import "github.com/espalier-ml/espalier/kernels"

//go:generate go run ./gen/gemm -o gemm_amd64.s

// gemm is the geometry of C = alpha·op(A)·op(B), or of a batch of such
// products, without memory: m×n with an inner size of k.
//
// A is read in place. op(B) is packed first: for each block of k, for each 16
// columns, a panel [k][16] (see pack). The micro-kernel then needs one panel,
// which stays in the first-level cache, and a few rows of A for each tile of
// 6x16 of C.
type gemm struct {
	m, n, k        int
	lda, ldb, ldc  int // elements between rows as stored
	transA, transB bool
	tall           bool // A is in tiles already (see packA)
	alpha          float32
}

// panel is the number of columns that a micro-kernel computes.
const panel = 16

// Blocks of the inner axis (a panel of B: 16 KB) and of rows (a block of A:
// 192 KB, to stay in the second-level cache).
const (
	blockK    = 256
	blockRows = 192
)

// gemmArgs are the arguments of a micro-kernel: tiles of rows rows by 16
// columns, c = d + a·b. All strides are bytes. The kernel leaves a, c and d
// behind its last tile.
type gemmArgs struct {
	a, b, c, d            *float32 // d may be nil
	lda, ldc, ldd         uintptr  // walking down columns, lda is the way from k to k+1
	tileA, tileC, tileD   uintptr  // from tile to tile
	k, tiles, rows, floor int      // tiles counts down to 0; floor 1: negative results become 0
	mask                  *int32   // of the columns, nil for 16
	next                  uintptr  // wide kernels: from a panel of b to the next
}

// walk is the way a micro-kernel takes through A.
type walk uint8

const (
	alongRows   walk = iota // A as it is
	downColumns             // Aᵀ in place
	downTiles               // Aᵀ packed by packA
)

// sweep computes m rows of the panel of `columns` columns at b, or of two at
// once where the processor can and both are whole; next is the number of rows
// of a panel as packed. It returns how many columns it has done.
func (x *gemmArgs) sweep(m int, w walk, columns, next int) int {
	if useAVX512 && columns >= 2*panel {
		x.mask, x.next = nil, uintptr(next*panel*4)
		x.tiled(m, w, true)
		return 2 * panel
	}
	x.mask = maskOf(columns)
	x.tiled(m, w, false)
	return panel
}

func (x *gemmArgs) tiled(m int, w walk, wide bool) {
	tiles, low, high := tilesOf(m)
	for x.rows = low + 1; x.rows >= low; x.rows-- {
		x.tiles = high
		if x.rows == low {
			x.tiles = tiles - high
		}
		if x.tiles == 0 {
			continue
		}
		rows := uintptr(x.rows)
		x.tileC, x.tileD = rows*x.ldc, rows*x.ldd
		if x.d == nil {
			x.tileD = 0
		}
		switch w {
		case alongRows:
			x.tileA = rows * x.lda
		case downColumns:
			x.tileA = rows * 4
		case downTiles:
			x.lda, x.tileA = rows*4, rows*4*uintptr(x.k)
		}
		switch {
		case w == alongRows && wide:
			gemmRowsWide(x)
		case w == alongRows:
			gemmRows(x)
		case wide:
			gemmColsWide(x)
		default:
			gemmCols(x)
		}
	}
}

// laneMask[16-w:] are masks of 16 lanes, the first w set.
var laneMask = [32]int32{-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1}

func maskOf(width int) *int32 {
	if width >= panel {
		return nil
	}
	return &laneMask[panel-width]
}

func panels(n int) int { return (n + panel - 1) / panel }

// span is an interval [lo, hi) of rows or columns.
type span struct{ lo, hi int }

func (s span) len() int { return s.hi - s.lo }

// share is part i of n of a span in whole panels.
func (s span) share(i, n int) span {
	all := panels(s.len())
	return span{s.lo + i*all/n*panel, min(s.hi, s.lo+(i+1)*all/n*panel)}
}

// chunk is the number of columns that are packed at a time by stream: 256 KB.
func (g *gemm) chunk() int {
	return min(panels(g.n), max(1, 256<<10/4/(panel*g.k))) * panel
}

// streamLen is the number of floats of scratch memory that stream needs.
func (g *gemm) streamLen() int { return g.packedLen(g.chunk()) }

// stream is run with op(B) packed on the way, a few panels at a time. B
// starts at the first element of its matrix.
func (g *gemm) stream(scratch, a, b, c []float32, rows, cols span, e *epilogue) {
	for step := g.chunk(); cols.lo < cols.hi; cols.lo += step {
		some := span{cols.lo, min(cols.lo+step, cols.hi)}
		g.run(a, g.pack(scratch, b, some), c, rows, some, e)
	}
}

// epilogue is what happens to a sum before it is stored.
type epilogue struct {
	acc    bool      // add to C
	bias   []float32 // by column, or nil
	from   []float32 // a matrix to add, rows ldFrom apart, or nil
	ldFrom int
	act    kernels.Act
	pre    []float32 // like C: takes the value before act, or nil
}

// run computes rows and columns of C. Slices start at the first element of
// their matrices; b holds at least the columns.
func (g *gemm) run(a []float32, b packedB, c []float32, rows, cols span, e *epilogue) {
	sum := c
	if e.pre != nil {
		sum = e.pre
	}
	for ; rows.lo < rows.hi; rows.lo += blockRows {
		some := span{rows.lo, min(rows.lo+blockRows, rows.hi)}
		g.block(a, b, sum, some, cols, e)
		if e.pre != nil || e.act != kernels.NoAct && e.act != kernels.ReLU {
			for r := some.lo; r < some.hi; r++ {
				vact(e.act, c[r*g.ldc+cols.lo:r*g.ldc+cols.hi], sum[r*g.ldc+cols.lo:])
			}
		}
	}
}

// tilesOf cuts rows into tiles of nearly equal height: `high` tiles of low+1
// rows, the rest of low rows.
func tilesOf(rows int) (tiles, low, high int) {
	tiles = (rows + 5) / 6
	low = rows / tiles
	return tiles, low, rows - low*tiles
}

// block computes one block of rows, panel by panel.
func (g *gemm) block(a []float32, b packedB, c []float32, rows, cols span, e *epilogue) {
	kc, all := g.kBlock(), panels(b.cols.len())
	for k0 := 0; k0 < g.k; k0 += kc {
		x := gemmArgs{lda: uintptr(g.lda * 4), ldc: uintptr(g.ldc * 4), k: min(kc, g.k-k0)}
		if k0+kc >= g.k && e.act == kernels.ReLU && e.pre == nil {
			x.floor = 1
		}
		first, w := rows.lo*g.lda+k0, alongRows // of A
		switch {
		case g.tall:
			first, w = k0*g.m+rows.lo*x.k, downTiles
		case g.transA:
			first, w = k0*g.lda+rows.lo, downColumns
		}
		for j := cols.lo; j < cols.hi; {
			x.a, x.b, x.c = &a[first], &b.f[k0*all*panel+(j-b.cols.lo)*x.k], &c[rows.lo*g.ldc+j]
			switch {
			case e.acc || k0 > 0:
				x.d, x.ldd = x.c, x.ldc
			case e.bias != nil:
				x.d, x.ldd = &e.bias[j], 0
			case e.from != nil:
				x.d, x.ldd = &e.from[rows.lo*e.ldFrom+j], uintptr(e.ldFrom*4)
			default:
				x.d = nil
			}
			j += x.sweep(rows.len(), w, cols.hi-j, x.k)
		}
	}
}
