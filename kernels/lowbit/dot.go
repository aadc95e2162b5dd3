package lowbit

// multiply is the kernel for activations of 8 bits, and of 4 where a table
// does not pay. Up to 4 bits Σ o·a is twice the sum of u·a less (2^p-1)·Σ a.
func (m *Matrix) multiply(dst []int32, t *Tokens, first, end, lo, hi int, s *Space) {
	blocks := Padded(m.Bits, m.K) / Elements(m.Bits)
	step := tileRows * blocks * blockBytes
	offset := int32(1<<m.Bits - 1)
	for i := first; i < end; {
		n := 1
		if i+1 < end && m.Bits < 8 {
			n = 2
		}
		var out [2][]int32
		var less [2]int32
		for j := range n {
			out[j] = dst[(i-first+j)*m.N:][:m.N]
			less[j] = offset * t.Sums[i+j]
		}
		a := t.Codes[i*t.Stride:]
		whole := hi &^ (tileRows - 1)
		if lo < whole {
			part := out
			for j := range n {
				part[j] = out[j][lo:whole]
			}
			tiles(m.Bits, part, less, m.data[lo/tileRows*step:], a, t.Stride, blocks)
		}
		if whole < hi { // the last rows, by way of a whole tile
			part := [2][]int32{s.tile[:tileRows]}
			if n == 2 {
				part[1] = s.tile[tileRows:]
			}
			tiles(m.Bits, part, less, m.data[whole/tileRows*step:], a, t.Stride, blocks)
			for j := range n {
				copy(out[j][whole:hi], part[j])
			}
		}
		i += n
	}
}

// tiles computes rows of whole tiles for one or two tokens, `stride` codes
// apart; dst[1] is nil for one.
func tiles(bits int, dst [2][]int32, less [2]int32, w []byte, a []int8, stride, blocks int) {
	if fast {
		tilesAVX(bits, dst, less, w, a, stride, blocks)
		return
	}
	for j, d := range dst {
		for r := 0; r < len(d); r += tileRows {
			tilePortable(bits, d[r:][:tileRows], less[j], w[r*blocks*blockBytes:], a[j*stride:], blocks)
		}
	}
}

func tilePortable(bits int, sums []int32, less int32, w []byte, a []int8, blocks int) {
	mask := byte(1<<bits - 1)
	for r := range sums {
		sum := int32(0)
		for b := range blocks {
			v := w[(b*tileRows+r)*blockBytes:][:blockBytes]
			x := a[b*Elements(bits):][:Elements(bits)]
			for f := 0; f < 8/bits; f++ {
				for j, c := range v {
					code := int32(c >> (f * bits) & mask)
					if bits == 8 {
						code = int32(int8(c))
					}
					sum += code * int32(x[f*blockBytes+j])
				}
			}
		}
		if bits < 8 {
			sum = 2*sum - less
		}
		sums[r] = sum
	}
}

func sumCodes(a []int8) int32 {
	n, sum := 0, int32(0)
	if fast {
		n = len(a) &^ 31
		if n > 0 {
			sum = sumCodesAVX(&a[0], n)
		}
	}
	for _, v := range a[n:] {
		sum += int32(v)
	}
	return sum
}

// lookUp is the kernel for weights of 1 bit and activations of 4: sums of o·a.
// A byte of a tile holds two indices; the byte sums of a few lookups are added
// to 16-bit ones, these to dst before they are full.
func (m *Matrix) lookUp(dst []int32, t *Tokens, first, end, lo, hi int, s *Space) {
	pairs := (m.K + 7) / 8
	if len(s.tables) < 32*pairs {
		s.tables = make([]byte, 32*pairs)
	}
	less := int32(TableBias(1) * 2 * pairs)
	for i := first; i < end; i++ {
		tab := s.tables[:pairs*32]
		tables(tab, t.Row(i)[:8*pairs])
		for r := lo; r < hi; r += lutRows {
			w := m.lookup[r*pairs:][:lutRows*pairs]
			clear(s.total[:])
			for p := 0; p < pairs; p += lutPairs {
				n := min(lutPairs, pairs-p)
				lutTile(&s.sums, w[p*lutRows:][:n*lutRows], tab[p*32:][:n*32])
				for x, v := range s.sums {
					s.total[x] += int32(v)
				}
			}
			row := dst[(i-first)*m.N:][:m.N]
			for x := range min(lutRows, hi-r) {
				row[r+x] = s.total[lutPlace(x)] - less
			}
		}
	}
}

// lutPairs is the number of pairs of groups whose sums fit 16 bits: an entry
// is at most 64.
const lutPairs = 65535 / (2 * 64) &^ 1

// lutPlace is where the sum of a tile's row stands: even rows of the first
// half, its odd rows, then those of the second half.
func lutPlace(row int) int { return row&32 + row%2*16 + row%32/2 }

// lutTile sums the entries that pairs of groups point to, for 64 rows.
func lutTile(sums *[lutRows]uint16, w, tab []byte) {
	if fast {
		lookUpAVX(&sums[0], &w[0], &tab[0], len(tab)/32)
		return
	}
	clear(sums[:])
	for p := range len(tab) / 32 {
		low, high := tab[p*32:][:16], tab[p*32+16:][:16]
		for x, v := range w[p*lutRows:][:lutRows] {
			sums[lutPlace(x)] += uint16(low[v&15]) + uint16(high[v>>4])
		}
	}
}

// tables builds the tables of activations, eight for every pair of groups.
func tables(t []byte, a []int8) {
	if fast {
		tablesAVX(&t[0], &a[0], len(a)/8)
		return
	}
	buildTables(t, 1, a, TableBias(1))
}

// lookUpHalves is lookUp for activations of 8 bits. One is 16·h + l + 8 with h
// and l in [-8, 7], so that Σ o·a = 16·Σ o·h + Σ o·l + 8·Σ o; padding counts in
// all three sums, in the last one with -1.
func (m *Matrix) lookUpHalves(dst []int32, t *Tokens, first, end, lo, hi int, s *Space) {
	const rows = lutRows / 2
	pairs := (m.K + 7) / 8
	if len(s.tables) < 64*pairs {
		s.tables = make([]byte, 64*pairs)
	}
	less := int32((1 + 16) * halfBias * 2 * pairs)
	pad := int32(8*pairs - m.K)
	for i := first; i < end; i++ {
		tab := s.tables[:pairs*64]
		tablesOfHalves(tab, t.Row(i)[:8*pairs])
		for r := lo; r < hi; r += rows {
			w := m.lookup[r*pairs:][:rows*pairs]
			clear(s.total[:rows])
			for p := 0; p < pairs; p += lutPairs {
				n := min(lutPairs, pairs-p)
				lutHalves(&s.sums, w[p*rows:][:n*rows], tab[p*64:][:n*64])
				for x := range rows {
					s.total[x] += int32(s.sums[x]) + 16*int32(s.sums[rows+x])
				}
			}
			row := dst[(i-first)*m.N:][:m.N]
			for x := range min(rows, hi-r) {
				row[r+x] = s.total[lutPlace(x)] - less + 8*(m.RowSums[r+x]-pad)
			}
		}
	}
}

// halfBias raises the sums of four numbers in [-8, 8] to bytes.
const halfBias = 32

// lutHalves sums entries for 32 rows: of low halves, then of high ones.
func lutHalves(sums *[lutRows]uint16, w, tab []byte) {
	if fast {
		lookUp8AVX(&sums[0], &w[0], &tab[0], len(tab)/64)
		return
	}
	const rows = lutRows / 2
	clear(sums[:])
	for p := range len(tab) / 64 {
		for half := range 2 {
			low, high := tab[p*64+32*half:][:16], tab[p*64+32*half+16:][:16]
			for x, v := range w[p*rows:][:rows] {
				sums[half*rows+lutPlace(x)] += uint16(low[v&15]) + uint16(high[v>>4])
			}
		}
	}
}

// tablesOfHalves builds, for every pair of groups, those of the low halves and
// those of the high ones.
func tablesOfHalves(t []byte, a []int8) {
	if fast {
		tables8AVX(&t[0], &a[0], len(a)/8)
		return
	}
	var half [8]int8
	for p := range len(a) / 8 {
		for i, v := range a[8*p:][:8] {
			half[i] = v&15 - 8
		}
		buildTables(t[64*p:][:32], 1, half[:], halfBias)
		for i, v := range a[8*p:][:8] {
			half[i] = v >> 4
		}
		buildTables(t[64*p+32:][:32], 1, half[:], halfBias)
	}
}
