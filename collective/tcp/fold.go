package tcp

import (
	"github.com/espalier-ml/espalier/collective"
	"github.com/espalier-ml/espalier/kernels/vec"
)

// blockBytes is how much of each input is combined at a time: the blocks of a
// few inputs and the scratch space stay in the first-level cache.
const blockBytes = 4096

// folder combines the same range of all ranks' data along the tree. One
// goroutine uses it at a time.
type folder struct {
	views   [][]byte // by rank: its data
	cut     [][]byte // by rank: the block in work
	scratch [][]byte // a block for each level of the tree
	codes   [][]byte // by rank: a block of decoded values, nil until needed
}

func newFolder(world int) *folder {
	f := &folder{views: make([][]byte, world), cut: make([][]byte, world)}
	for levels := 0; levels < 2 || 1<<(levels-2) < world; levels++ {
		f.scratch = append(f.scratch, make([]byte, blockBytes))
	}
	return f
}

// into combines the views and stores the result in dst, which may be one of
// them.
func (f *folder) into(dst []byte, t collective.DType, op collective.Op) {
	switch {
	case t == collective.Float32 && op == collective.Sum:
		into(f, dst, vec.Add)
	case t == collective.Float32:
		into(f, dst, maximum[float32])
	case t == collective.Float64 && op == collective.Sum:
		into(f, dst, sum[float64])
	case t == collective.Float64:
		into(f, dst, maximum[float64])
	case t == collective.Int64 && op == collective.Sum:
		into(f, dst, sum[int64])
	case t == collective.Int64:
		into(f, dst, maximum[int64])
	}
}

// pair stores the combination of a and b in dst, which may be one of them.
func pair(dst, a, b []byte, t collective.DType, op collective.Op) {
	switch {
	case t == collective.Float32 && op == collective.Sum:
		vec.Add(vec.Of[float32](dst), vec.Of[float32](a), vec.Of[float32](b))
	case t == collective.Float32:
		maximum(vec.Of[float32](dst), vec.Of[float32](a), vec.Of[float32](b))
	case t == collective.Float64 && op == collective.Sum:
		sum(vec.Of[float64](dst), vec.Of[float64](a), vec.Of[float64](b))
	case t == collective.Float64:
		maximum(vec.Of[float64](dst), vec.Of[float64](a), vec.Of[float64](b))
	case t == collective.Int64 && op == collective.Sum:
		sum(vec.Of[int64](dst), vec.Of[int64](a), vec.Of[int64](b))
	case t == collective.Int64:
		maximum(vec.Of[int64](dst), vec.Of[int64](a), vec.Of[int64](b))
	}
}

func into[T vec.Number](f *folder, dst []byte, combine func(dst, a, b []T)) {
	if len(f.views) == 1 {
		copy(dst, f.views[0])
		return
	}
	p := collective.TreeSplit(len(f.views))
	for lo := 0; lo < len(dst); lo += blockBytes {
		hi := min(lo+blockBytes, len(dst))
		for k, v := range f.views {
			f.cut[k] = v[lo:hi]
		}
		left := fold(f, f.cut[:p], 0, combine)
		right := fold(f, f.cut[p:], 1, combine)
		combine(vec.Of[T](dst[lo:hi]), vec.Of[T](left), vec.Of[T](right))
	}
}

// fold combines leaves along the tree, in the scratch block of a level (those
// above are free) or, if there is just one, where it is.
func fold[T vec.Number](f *folder, leaves [][]byte, level int, combine func(dst, a, b []T)) []byte {
	if len(leaves) == 1 {
		return leaves[0]
	}
	p := collective.TreeSplit(len(leaves))
	dst := f.scratch[level][:len(leaves[0])]
	left := fold(f, leaves[:p], level, combine)
	right := fold(f, leaves[p:], level+1, combine)
	combine(vec.Of[T](dst), vec.Of[T](left), vec.Of[T](right))
	return dst
}

func sum[T vec.Number](dst, a, b []T) {
	a, b = a[:len(dst)], b[:len(dst)]
	for i := range dst {
		dst[i] = a[i] + b[i]
	}
}

func maximum[T vec.Number](dst, a, b []T) {
	a, b = a[:len(dst)], b[:len(dst)]
	for i := range dst {
		dst[i] = max(a[i], b[i])
	}
}
