package shm

import (
	"github.com/espalier-ml/espalier/collective"
	"github.com/espalier-ml/espalier/kernels/vec"
)

// number is an element type that can be reduced.
type number interface{ float32 | float64 | int64 }

// blockBytes is how much of each arena is combined at a time: the blocks of
// a few arenas and the scratch space stay in the first-level cache.
const blockBytes = 4096

// reducer combines the same range of all ranks' memory along the tree.
type reducer[T number] struct {
	views   [][]T // by rank: the range
	cut     [][]T // by rank: the block in work
	scratch [][]T // a block for each level of the tree
}

// reducers has one for each element type, so that nothing is allocated later.
type reducers struct {
	f32 reducer[float32]
	f64 reducer[float64]
	i64 reducer[int64]
}

func newReducers(world int) reducers {
	return reducers{newReducer[float32](world, 4), newReducer[float64](world, 8), newReducer[int64](world, 8)}
}

func newReducer[T number](world, size int) reducer[T] {
	r := reducer[T]{views: make([][]T, world), cut: make([][]T, world)}
	for levels := 1; levels == 1 || 1<<(levels-2) < world; levels++ {
		r.scratch = append(r.scratch, make([]T, blockBytes/size))
	}
	return r
}

// share combines views and stores the result in all of them.
func (r *reducer[T]) share(combine func(dst, a, b []T)) {
	block := len(r.scratch[0])
	n := len(r.views[0])
	for lo := 0; lo < n; lo += block {
		r.slice(lo, min(lo+block, n))
		sum := r.fold(r.scratch[0], r.cut, 1, combine)
		for _, v := range r.cut {
			copy(v, sum)
		}
	}
}

// into combines views and stores the result in dst, which may be one of them.
func (r *reducer[T]) into(dst []T, combine func(dst, a, b []T)) {
	block := len(r.scratch[0])
	for lo := 0; lo < len(dst); lo += block {
		hi := min(lo+block, len(dst))
		r.slice(lo, hi)
		copy(dst[lo:hi], r.fold(r.scratch[0], r.cut, 1, combine))
	}
}

func (r *reducer[T]) slice(lo, hi int) {
	for k, v := range r.views {
		r.cut[k] = v[lo:hi]
	}
}

// fold combines leaves along collective's tree, in dst or, if there is just
// one, where it is. Scratch blocks from level on are free.
func (r *reducer[T]) fold(dst []T, leaves [][]T, level int, combine func(dst, a, b []T)) []T {
	if len(leaves) == 1 {
		return leaves[0]
	}
	p := collective.TreeSplit(len(leaves))
	dst = dst[:len(leaves[0])]
	left := r.fold(dst, leaves[:p], level, combine)
	right := leaves[p]
	if len(leaves)-p > 1 {
		right = r.fold(r.scratch[level], leaves[p:], level+1, combine)
	}
	combine(dst, left, right)
	return dst
}

func sum[T number](dst, a, b []T) {
	a, b = a[:len(dst)], b[:len(dst)]
	for i := range dst {
		dst[i] = a[i] + b[i]
	}
}

func maximum[T number](dst, a, b []T) {
	a, b = a[:len(dst)], b[:len(dst)]
	for i := range dst {
		dst[i] = max(a[i], b[i])
	}
}

// share combines the views and stores the result in all of them. Sums of
// gradients on few ranks have kernels of their own.
func (s *reducers) share(t collective.DType, op collective.Op) {
	switch {
	case t == collective.Float32 && op == collective.Sum:
		switch v := s.f32.views; len(v) {
		case 2:
			vec.Share2(v[0], v[1])
		case 4:
			vec.Share4(v[0], v[1], v[2], v[3])
		default:
			s.f32.share(vec.Add)
		}
	case t == collective.Float32:
		s.f32.share(maximum[float32])
	case t == collective.Float64 && op == collective.Sum:
		s.f64.share(sum[float64])
	case t == collective.Float64:
		s.f64.share(maximum[float64])
	case t == collective.Int64 && op == collective.Sum:
		s.i64.share(sum[int64])
	case t == collective.Int64:
		s.i64.share(maximum[int64])
	}
}

// into combines the views and stores the result in dst.
func (s *reducers) into(dst []byte, t collective.DType, op collective.Op) {
	switch {
	case t == collective.Float32 && op == collective.Sum:
		s.f32.into(typed[float32](dst), vec.Add)
	case t == collective.Float32:
		s.f32.into(typed[float32](dst), maximum[float32])
	case t == collective.Float64 && op == collective.Sum:
		s.f64.into(typed[float64](dst), sum[float64])
	case t == collective.Float64:
		s.f64.into(typed[float64](dst), maximum[float64])
	case t == collective.Int64 && op == collective.Sum:
		s.i64.into(typed[int64](dst), sum[int64])
	case t == collective.Int64:
		s.i64.into(typed[int64](dst), maximum[int64])
	}
}

// view sets the bytes of a rank that are to be combined.
func (s *reducers) view(rank int, t collective.DType, mem []byte) {
	switch t {
	case collective.Float32:
		s.f32.views[rank] = typed[float32](mem)
	case collective.Float64:
		s.f64.views[rank] = typed[float64](mem)
	case collective.Int64:
		s.i64.views[rank] = typed[int64](mem)
	}
}
