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
}

// walk is the way a micro-kernel takes through A.
type walk uint8

const (
	alongRows   walk = iota // A as it is
	downColumns             // Aᵀ in place
	downTiles               // Aᵀ packed by packA
)

// sweep computes m rows of one panel of columns.
func (x *gemmArgs) sweep(m int, w walk) {
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
			gemmRows(x)
		case downColumns:
			x.tileA = rows * 4
			gemmCols(x)
		case downTiles:
			x.lda, x.tileA = rows*4, rows*4*uintptr(x.k)
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

// kBlock is the length of the blocks of k: equal, but for the last.
func (g *gemm) kBlock() int {
	blocks := (g.k + blockK - 1) / blockK
	return min(g.k, ((g.k+blocks-1)/blocks+7)&^7)
}

// packedLen is the number of floats of `columns` columns of packed B.
func (g *gemm) packedLen(columns int) int { return panels(columns) * panel * g.k }

// pack packs columns [n0, n1) of op(B): [block of k][panel][k in block][16],
// columns past n1 zero.
func (g *gemm) pack(dst, b []float32, n0, n1 int) {
	g.packPanels(dst, b, n0, n1, 0, panels(n1-n0))
}

// packPanels is the share [p0, p1) of the panels of pack.
func (g *gemm) packPanels(dst, b []float32, n0, n1, p0, p1 int) {
	kc, all := g.kBlock(), panels(n1-n0)
	for k0 := 0; k0 < g.k; k0 += kc {
		k1 := min(k0+kc, g.k)
		size := (k1 - k0) * panel
		for p := p0; p < p1; p++ {
			j := n0 + p*panel
			to := dst[k0*all*panel+p*size:][:size]
			if w := min(panel, n1-j); g.transB {
				packColumns(to, b[j*g.ldb+k0:], g.ldb, w)
			} else {
				packWide(&to[0], &b[k0*g.ldb+j], uintptr(g.ldb*4), k1-k0, maskOf(w))
			}
			if g.alpha != 1 {
				for i := range to {
					to[i] *= g.alpha
				}
			}
		}
	}
}

// packColumns packs w rows of b, ld apart, as columns of a panel.
func packColumns(dst, b []float32, ld, w int) {
	k := len(dst) / panel
	rest := 0 // first k that is packed one by one
	if w == panel {
		packTransposed(&dst[0], &b[0], uintptr(ld*4), k/8)
		packTransposed(&dst[8], &b[8*ld], uintptr(ld*4), k/8)
		rest = k &^ 7
	} else if clear(dst); w >= 8 {
		packTransposed(&dst[0], &b[0], uintptr(ld*4), k/8)
		packColumn(dst, b, ld, 0, 8, k&^7)
		packColumn(dst, b, ld, 8, w, 0)
		return
	}
	packColumn(dst, b, ld, 0, w, rest)
}

// packColumn packs columns [from, to) of a panel from row k0 on.
func packColumn(dst, b []float32, ld, from, to, k0 int) {
	k := len(dst) / panel
	for j := from; j < to; j++ {
		row := b[j*ld:][:k]
		for i := k0; i < k; i++ {
			dst[i*panel+j] = row[i]
		}
	}
}

// chunk is the number of columns that are packed at a time by stream: 256 KB.
func (g *gemm) chunk() int {
	return min(panels(g.n), max(1, 256<<10/4/(panel*g.k))) * panel
}

// streamLen is the number of floats of scratch memory that stream needs.
func (g *gemm) streamLen() int { return g.packedLen(g.chunk()) }

// stream is run with op(B) packed on the way, a few panels at a time. B
// starts at the first element of its matrix.
func (g *gemm) stream(scratch, a, b, c []float32, m0, m1, n0, n1 int, e *epilogue) {
	step := g.chunk()
	for ; n0 < n1; n0 += step {
		end := min(n0+step, n1)
		g.pack(scratch, b, n0, end)
		g.run(a, scratch, c, m0, m1, n0, end, e)
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

// run computes rows [m0, m1) and columns [n0, n1) of C; packed holds those
// columns of op(B). Slices start at the first element of their matrices.
func (g *gemm) run(a, packed, c []float32, m0, m1, n0, n1 int, e *epilogue) {
	sum := c
	if e.pre != nil {
		sum = e.pre
	}
	for r0 := m0; r0 < m1; r0 += blockRows {
		r1 := min(r0+blockRows, m1)
		g.block(a, packed, sum, r0, r1, n0, n1, e)
		if e.pre != nil || e.act != kernels.NoAct && e.act != kernels.ReLU {
			for r := r0; r < r1; r++ {
				vact(e.act, c[r*g.ldc+n0:r*g.ldc+n1], sum[r*g.ldc+n0:])
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

// packA copies rows [r0, r1) of op(A) = Aᵀ, a whole block or the last, into
// tiles: [block of k][tile][k in block][rows of the tile]. The walk along k
// then is contiguous; in place it would touch another page at every step.
func (g *gemm) packA(dst, a []float32, r0, r1 int) {
	tiles, low, high := tilesOf(r1 - r0)
	kc := g.kBlock()
	for k0 := 0; k0 < g.k; k0 += kc {
		k1 := min(k0+kc, g.k)
		for t, r := 0, r0; t < tiles; t++ {
			rows := low
			if t < high {
				rows++
			}
			packTall(&dst[k0*g.m+r*(k1-k0)], &a[k0*g.lda+r], uintptr(g.lda*4), k1-k0, rows)
			r += rows
		}
	}
}

// block computes one block of rows, panel by panel.
func (g *gemm) block(a, packed, c []float32, r0, r1, n0, n1 int, e *epilogue) {
	kc := g.kBlock()
	for k0 := 0; k0 < g.k; k0 += kc {
		x := gemmArgs{lda: uintptr(g.lda * 4), ldc: uintptr(g.ldc * 4), k: min(kc, g.k-k0)}
		if k0+kc >= g.k && e.act == kernels.ReLU && e.pre == nil {
			x.floor = 1
		}
		first, w := r0*g.lda+k0, alongRows // of A
		switch {
		case g.tall:
			first, w = k0*g.m+r0*x.k, downTiles
		case g.transA:
			first, w = k0*g.lda+r0, downColumns
		}
		for j := n0; j < n1; j += panel {
			x.a, x.b, x.c, x.mask = &a[first], &packed[0], &c[r0*g.ldc+j], maskOf(n1-j)
			switch {
			case e.acc || k0 > 0:
				x.d, x.ldd = x.c, x.ldc
			case e.bias != nil:
				x.d, x.ldd = &e.bias[j], 0
			case e.from != nil:
				x.d, x.ldd = &e.from[r0*e.ldFrom+j], uintptr(e.ldFrom*4)
			default:
				x.d = nil
			}
			x.sweep(r1-r0, w)
			packed = packed[x.k*panel:]
		}
	}
}
