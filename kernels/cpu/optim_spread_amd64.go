package cpu

import (
	"math"

	"github.com/espalier-ml/espalier/kernels"
)

// spread walks a parameter in stretches of one row block. Numbers of blocks are
// spread over tiles, so that a kernel reads them as streams beside the
// parameter; one kernel serves any partition.
type spread struct {
	*blockTiles
	cols      int // of the pattern that a tile repeats
	stretches []stretch
	ends      []int // of parts, in stretches
	mem       *kernels.Tensor
	ref       *ref
}

// A stretch is a range of elements of one row block; its tiles are at place.
type stretch struct{ lo, hi, place int }

// newSpread cuts a parameter in stretches and parts by its shape alone.
func (l *lowering) newSpread(name string, b *kernels.Blocks, kinds int) *spread {
	t := &spread{cols: b.Cols}
	if b.N <= 1 {
		t.cols = 512
		t.blockTiles = &blockTiles{kinds: kinds, width: t.cols, at: map[int]int{0: 0}, blocks: [][]int32{make([]int32, 16)}}
		for n, lo := b.Rows*b.Cols, 0; lo < n; lo += partElems {
			t.stretches = append(t.stretches, stretch{lo, min(n, lo+partElems), 0})
		}
	} else {
		t.blockTiles = newBlockTiles(b, kinds)
		for _, r := range rowRuns(b, mostRows(b.Cols)) {
			t.stretches = append(t.stretches, stretch{r.lo * b.Cols, r.hi * b.Cols, t.at[r.block]})
		}
	}
	n := 0
	for i, s := range t.stretches {
		if n += s.hi - s.lo; n >= partElems || i == len(t.stretches)-1 {
			t.ends, n = append(t.ends, i+1), 0
		}
	}
	t.mem = l.temp(name+" block rates", t.size())
	t.ref = l.ref(t.mem)
	return t
}

// fill is the stage that writes the tiles.
func (t *spread) fill(reads []*kernels.Tensor, value func(w *worker, block int32, k int) float32) stage {
	return t.stage(reads, t.mem, t.ref, value)
}

// k is the tile of the k-th kind for a stretch.
func (t *spread) k(s stretch, k int) *float32 { return ptr(t.tile(t.ref.f, s.place, k)) }

// walk is a stage that visits all stretches; i counts them.
func (t *spread) walk(name string, f func(w *worker, i int, s stretch)) stage {
	return stage{name: name, parts: len(t.ends), run: func(w *worker, p int) {
		lo := 0
		if p > 0 {
			lo = t.ends[p-1]
		}
		for i := lo; i < t.ends[p]; i++ {
			f(w, i, t.stretches[i])
		}
	}}
}

// sums collects a number of every entry by block, in float64: column by
// column in a stretch, then over its columns, then over stretches in order.
type sums struct {
	t       *spread
	n       int
	columns [][]columnRun // by place
	mem     *kernels.Tensor
	ref     *ref
}

func (l *lowering) newSums(name string, t *spread, n int) *sums {
	s := &sums{t: t, n: max(1, n), mem: l.temp(name+" sums", 2*max(1, n)*len(t.stretches))}
	s.ref = l.ref(s.mem)
	for _, b := range t.blocks {
		if n <= 1 {
			b = make([]int32, t.cols)
		}
		s.columns = append(s.columns, columnRuns(b))
	}
	l.local(2 * t.width)
	return s
}

// begin returns cleared sums of columns for a stretch.
func (s *sums) begin(w *worker) []float64 {
	acc := wide(w.floats(2 * s.t.width))
	clear(acc)
	return acc
}

// end keeps the sums of columns of stretch i.
func (s *sums) end(i int, acc []float64) {
	to := wide(s.ref.f)[i*s.n:][:s.n]
	clear(to)
	for ; len(acc) > 0; acc = acc[s.t.cols:] {
		for _, c := range s.columns[s.t.stretches[i].place] {
			to[c.block] += sum64(acc[c.lo:c.hi])
		}
	}
}

// fold adds up the stretches; out holds every sum as a pair.
func (s *sums) fold(name string, out *kernels.Tensor, o *ref) stage {
	return stage{name: name, reads: given(s.mem), writes: given(out), parts: 1, run: func(*worker, int) {
		of := wide(s.ref.f)
		for b := range s.n {
			var t float64
			for i := range s.t.stretches {
				t += of[i*s.n+b]
			}
			putPair(o.f[2*b:], t)
		}
	}}
}

// box is the range that w is clipped to.
func box(b [2]float32) (low, high float32) {
	if b == [2]float32{} {
		return float32(math.Inf(-1)), float32(math.Inf(1))
	}
	return b[0], b[1]
}
