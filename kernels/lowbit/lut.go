package lowbit

// Products by table, for weights of 1 and 2 bits and activations of 4. Every
// 4/p neighbouring codes of a row form an index of 4 bits; for each such group
// of activations there is a table of the 16 sums Σ o·a, raised by a bias so
// that they are bytes. A shuffle instruction looks 32 rows up at once. It pays
// at one bit: at two, multiplying is as fast.

// Group is the number of codes in an index.
func Group(bits int) int { return 4 / bits }

// TableBias is what a table's entries are raised by: the largest magnitude of
// a sum, (4/p)·(2^p-1)·7.
func TableBias(bits int) int { return Group(bits) * (1<<bits - 1) * 7 }

// Tables are the tables of activations a in [-7, 7], 16 bytes a group. The
// last group is filled up with zeros.
func Tables(bits int, a []int8) []byte {
	groups := (len(a) + Group(bits) - 1) / Group(bits)
	t := make([]byte, 16*groups)
	buildTables(t, bits, a, TableBias(bits))
	return t
}

// buildTables fills tables one activation after another: doubling a table
// adds the codes of one more activation to all sums so far.
func buildTables(t []byte, bits int, a []int8, bias int) {
	g, span := Group(bits), 1<<bits
	for i := 0; i*16 < len(t); i++ {
		e := t[16*i:][:16]
		e[0] = byte(bias)
		n := 1
		for j := range g {
			v := int8(0)
			if k := i*g + j; k < len(a) {
				v = a[k]
			}
			low := int8(-(span - 1)) * v
			for u := span - 1; u >= 0; u-- {
				add := byte(low + int8(2*u)*v)
				for x := range n {
					e[u*n+x] = e[x] + add
				}
			}
			n *= span
		}
	}
}

// lutRows is the number of rows of a tile.
const lutRows = 64

// PackTables packs u [n][k] into tiles of `tile` rows, 32 or 64: for every pair
// of groups g and g+1, byte r of a tile holds the index of group g in row r in
// its low half and that of group g+1 in its high half. Rows and groups are
// filled up with codes 0: an even number of groups.
func PackTables(bits, n, k, tile int, u []byte) []byte {
	g := Group(bits)
	pairs := (k + 2*g - 1) / (2 * g)
	tiles := (n + tile - 1) / tile
	out := make([]byte, tiles*pairs*tile)
	for r := range n {
		for c := range k {
			at := (r/tile*pairs+c/(2*g))*tile + r%tile
			out[at] |= u[r*k+c] << (c % (2 * g) * bits)
		}
	}
	return out
}
