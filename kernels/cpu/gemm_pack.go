package cpu

// kBlock is the length of the blocks of k: equal, but for the last.
func (g *gemm) kBlock() int {
	blocks := (g.k + blockK - 1) / blockK
	return min(g.k, ((g.k+blocks-1)/blocks+7)&^7)
}

// packedLen is the number of floats of `columns` columns of packed B.
func (g *gemm) packedLen(columns int) int { return panels(columns) * panel * g.k }

// packedB is columns of op(B): [block of k][panel][k in block][16].
type packedB struct {
	f    []float32
	cols span
}

// pack packs columns of op(B); those that fill up the last panel are zero.
func (g *gemm) pack(dst, b []float32, cols span) packedB {
	g.packShare(dst, b, cols, cols)
	return packedB{dst, cols}
}

// packShare packs only some panels of those columns.
func (g *gemm) packShare(dst, b []float32, cols, share span) {
	kc, all := g.kBlock(), panels(cols.len())
	for k0 := 0; k0 < g.k; k0 += kc {
		k := min(kc, g.k-k0)
		from := k0*all*panel + (share.lo-cols.lo)*k
		to := dst[from:][:panels(share.len())*panel*k]
		if g.transB {
			packTransposedRows(to, b[share.lo*g.ldb+k0:], g.ldb, k, share.len())
		} else {
			packRows(to, b[k0*g.ldb+share.lo:], g.ldb, k, share.len())
		}
		if g.alpha != 1 {
			vscale(to, to, g.alpha)
		}
	}
}

// packRows packs k rows of n floats, ld apart.
func packRows(dst, b []float32, ld, k, n int) {
	if full := n / panel; full > 0 {
		packWide(&dst[0], &b[0], uintptr(ld*4), k, uintptr(k*panel*4), full)
		dst, b = dst[full*panel*k:], b[full*panel:]
	}
	if rest := n % panel; rest > 0 {
		packNarrow(&dst[0], &b[0], uintptr(ld*4), k, maskOf(rest))
	}
}

// packTransposedRows packs n rows of k floats, ld apart, as columns.
func packTransposedRows(dst, b []float32, ld, k, n int) {
	for j := 0; j < n; j += panel {
		packColumns(dst[j*k:][:panel*k], b[j*ld:], ld, min(panel, n-j))
	}
}

// dropRow clears row k of op(B).
func (g *gemm) dropRow(b packedB, k int) {
	kc, all := g.kBlock(), panels(b.cols.len())
	k0 := k / kc * kc
	size := min(kc, g.k-k0) * panel
	for p := range all {
		clear(b.f[k0*all*panel+p*size+(k-k0)*panel:][:panel])
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

// packA copies rows of op(A) = Aᵀ, a whole block or the last, into
// tiles: [block of k][tile][k in block][rows of the tile]. The walk along k
// then is contiguous; in place it would touch another page at every step.
func (g *gemm) packA(dst, a []float32, block span) {
	tiles, low, high := tilesOf(block.len())
	kc := g.kBlock()
	for k0 := 0; k0 < g.k; k0 += kc {
		k1 := min(k0+kc, g.k)
		for t, r := 0, block.lo; t < tiles; t++ {
			rows := low
			if t < high {
				rows++
			}
			packTall(&dst[k0*g.m+r*(k1-k0)], &a[k0*g.lda+r], uintptr(g.lda*4), k1-k0, rows)
			r += rows
		}
	}
}
