// Package vec adds float32 vectors at the speed of memory: the inner loop of
// gradient reductions.
//
// Every function works elementwise with IEEE additions in a stated order and
// never fuses or reassociates, so the assembly and the portable loops give
// the same bits. On amd64 with AVX the assembly runs; elsewhere, and under
// the race detector, the loops do.
//
// Slices of one call must have the same length (anything else is the caller's
// bug and panics) and must be equal or disjoint, never partly overlapping.
//
//	vec.Add(dst, a, b)     // dst = a + b
//	vec.AddTo(dst, a)      // dst += a
//	vec.Share2(a, b)       // a = b = a + b
//	vec.Share4(a, b, c, d) // all = (a + b) + (c + d)
package vec

// Add stores a + b in dst.
func Add(dst, a, b []float32) {
	sameLen(len(dst), len(a))
	sameLen(len(dst), len(b))
	i := addBlocks(dst, a, b)
	addLoop(dst[i:], a[i:], b[i:])
}

// AddTo adds a to dst.
func AddTo(dst, a []float32) { Add(dst, dst, a) }

// Share2 stores a + b in both.
func Share2(a, b []float32) {
	sameLen(len(a), len(b))
	i := share2Blocks(a, b)
	share2Loop(a[i:], b[i:])
}

// Share4 stores (a + b) + (c + d) in all four.
func Share4(a, b, c, d []float32) {
	sameLen(len(a), len(b))
	sameLen(len(a), len(c))
	sameLen(len(a), len(d))
	i := share4Blocks(a, b, c, d)
	share4Loop(a[i:], b[i:], c[i:], d[i:])
}

func sameLen(a, b int) {
	if a != b {
		panic("vec: slices of different lengths")
	}
}

func addLoop(dst, a, b []float32) {
	a, b = a[:len(dst)], b[:len(dst)]
	for i := range dst {
		dst[i] = a[i] + b[i]
	}
}

func share2Loop(a, b []float32) {
	b = b[:len(a)]
	for i := range a {
		s := a[i] + b[i]
		a[i], b[i] = s, s
	}
}

func share4Loop(a, b, c, d []float32) {
	b, c, d = b[:len(a)], c[:len(a)], d[:len(a)]
	for i := range a {
		s := (a[i] + b[i]) + (c[i] + d[i])
		a[i], b[i], c[i], d[i] = s, s, s, s
	}
}
