package cpu

import "unsafe"

// winoTiling cuts images [h,w,c] and [h,w,k] into tiles of 2x2 pixels, of which
// some are transformed together. Planes hold what stands in one of the 16
// places of each of them.
type winoTiling struct {
	images, h, w, c, k int
	group, band        int // images, or rows of tiles of one, that go together
	most               int // tiles of them
}

const (
	// winoTogether is how many tiles should go together: their planes should
	// stay in the second-level cache.
	winoTogether = 64
	// winoStagger keeps the planes of the places from beginning in one set
	// of the cache.
	winoStagger = 16
	// winoChannels is from where on the transformations pay.
	winoChannels = 16
)

// winograd tells whether a convolution [h,w,c] → [h,w,k] is worth the
// transformations.
func (g *window) winograd(c, k int) bool {
	return g.kh == 3 && g.kw == 3 && g.Stride == 1 && g.Pad == 1 && g.Groups == 1 && g.h%2 == 0 && g.w%2 == 0 &&
		g.h*g.w >= 16 && min(c, k) >= winoChannels && c*k <= 1<<16
}

func newWinoTiling(n, h, w, c, k int) winoTiling {
	t := winoTiling{images: n, h: h, w: w, c: c, k: k}
	t.group = max(1, min(n, winoTogether/t.tiles(h/2)))
	t.band = max(1, min(h/2, winoTogether/(w/2)))
	t.most = t.group * t.tiles(t.band)
	return t
}

// tiles is the number of tiles in some rows of them.
func (t *winoTiling) tiles(rows int) int { return rows * (t.w / 2) }

// plane is the number of floats of a plane of so many channels.
func (t *winoTiling) plane(channels int) int { return t.most*channels + winoStagger }

// each calls f for what goes together of images [lo, hi): n images from i on,
// of each the rows [r, end) of tiles.
func (t *winoTiling) each(lo, hi int, f func(i, n, r, end int)) {
	for i := lo; i < hi; i += t.group {
		for r := 0; r < t.h/2; r += t.band {
			f(i, min(t.group, hi-i), r, min(r+t.band, t.h/2))
		}
	}
}

// row is a transformed row of pixels between two of zeros; rows is the memory
// for input: four of them and one of zeros, all zero at the start.
func (t *winoTiling) row() int  { return (t.w + 2) * t.c }
func (t *winoTiling) rows() int { return 5 * t.row() }

// input transforms rows [lo, hi) of the tiles of image x: Bᵀ·d·B.
func (t *winoTiling) input(v, rows, x []float32, lo, hi int) {
	line := t.w * t.c
	at := func(i int) unsafe.Pointer {
		if i < 0 || i >= t.h {
			return addr(rows, 4*t.row())
		}
		return addr(x, i*line)
	}
	plane := t.plane(t.c)
	for i := lo; i < hi; i++ {
		winoRows(addr(rows, t.c), 4*t.row(), at(2*i-1), at(2*i), at(2*i+1), at(2*i+2), line)
		for r := range 4 {
			winoColumns(addr(v, 4*r*plane+t.tiles(i-lo)*t.c), addr(rows, r*t.row()), t.w/2, t.c, 4*plane)
		}
	}
}

// ahead asks for the pixels that follow n images from i on, rows [r, end) of
// tiles, of so many channels: they arrive while products are summed.
func (t *winoTiling) ahead(x []float32, channels, i, n, r, end int) {
	pixel := (i+n-1)*t.h*t.w + 2*end*t.w // the first behind
	pixels := ((n-1)*t.h + 2*(end-r)) * t.w
	prefetch(x, pixel*channels, (pixel+pixels)*channels)
}

// prefetch asks for elements [lo, hi) of x, as far as there are such.
func prefetch(x []float32, lo, hi int) {
	if hi = min(hi, len(x)); lo < hi {
		convPrefetch(addr(x, lo), (hi-lo)/16)
	}
}
