package cpu

import (
	"math"

	"github.com/espalier-ml/espalier/kernels"
)

// split sees a shape as [outer, axis, inner].
func split(shape []int, axis int) (outer, n, inner int) {
	outer, n, inner = 1, shape[axis], 1
	for _, d := range shape[:axis] {
		outer *= d
	}
	for _, d := range shape[axis+1:] {
		inner *= d
	}
	return outer, n, inner
}

func (l *lowering) refTranspose(o *kernels.Transpose) []stage {
	x, y := l.ref(o.X), l.ref(o.Y)
	step := make([]int, len(o.Perm)) // distance in X of neighbours along Y's axes
	for i, axis := range o.Perm {
		_, _, step[i] = split(o.X.Shape, axis)
	}
	from := func(i int) (at int) {
		for axis := len(step) - 1; axis >= 0; axis-- {
			at += i % o.Y.Shape[axis] * step[axis]
			i /= o.Y.Shape[axis]
		}
		return at
	}
	return []stage{elements("transpose", o.Y.Len(), func(w *worker, lo, hi int) {
		for i := lo; i < hi; i++ {
			put(&y.f[i], float64(x.f[from(i)]), o.Acc)
		}
	})}
}

func (l *lowering) refSlab(o *kernels.Slab) []stage {
	x, y := l.ref(o.X), l.ref(o.Y)
	outer, nx, inner := split(o.X.Shape, o.Axis)
	ny := o.Y.Shape[o.Axis]
	return []stage{rows("slab", outer*o.Len, func(w *worker, lo, hi int) {
		for r := lo; r < hi; r++ {
			i, k := r/o.Len, r%o.Len
			src := x.f[(i*nx+o.From+k)*inner:][:inner]
			dst := y.f[(i*ny+o.To+k)*inner:][:inner]
			for j, v := range src {
				put(&dst[j], float64(v), o.Acc)
			}
		}
	})}
}

// refGather makes the row of an index outside the table NaN.
func (l *lowering) refGather(o *kernels.Gather) []stage {
	table, index, y := l.ref(o.Table), l.ref(o.Index), l.ref(o.Y)
	v, d := o.Table.Dim(0), o.Table.Dim(1)
	return []stage{rows("gather", o.Index.Len(), func(w *worker, lo, hi int) {
		for i := lo; i < hi; i++ {
			at, dst := int(index.i[i]), y.f[i*d:][:d]
			if at >= 0 && at < v {
				copy(dst, table.f[at*d:])
				continue
			}
			for j := range dst {
				dst[j] = float32(math.NaN())
			}
		}
	})}
}

// refGatherGrad cuts by columns, so that every part sees the indices in order.
func (l *lowering) refGatherGrad(o *kernels.GatherGrad) []stage {
	dy, index, table := l.ref(o.DY), l.ref(o.Index), l.ref(o.DTable)
	v, d := o.DTable.Dim(0), o.DTable.Dim(1)
	return []stage{columns("gather-grad", d, func(w *worker, lo, hi int) {
		for r := 0; r < v && !o.Acc; r++ {
			clear(table.f[r*d+lo : r*d+hi])
		}
		for i, at := range index.i {
			if at < 0 || int(at) >= v {
				continue
			}
			dst := table.f[int(at)*d:][lo:hi]
			for j, g := range dy.f[i*d:][lo:hi] {
				dst[j] += g
			}
		}
	})}
}

func (l *lowering) refReduce(o *kernels.Reduce) []stage {
	x, y := l.ref(o.X), l.ref(o.Y)
	_, n, inner := split(o.X.Shape, o.Axis)
	scale := 1.0
	if o.Mean {
		scale = float64(n)
	}
	return []stage{rows("reduce", o.Y.Len(), func(w *worker, lo, hi int) {
		for i := lo; i < hi; i++ {
			sum, at := 0.0, i/inner*n*inner+i%inner
			for k := range n {
				sum += float64(x.f[at+k*inner])
			}
			y.f[i] = float32(sum / scale)
		}
	})}
}

func (l *lowering) refExpand(o *kernels.Expand) []stage {
	x, y := l.ref(o.X), l.ref(o.Y)
	_, n, inner := split(o.Y.Shape, o.Axis)
	return []stage{elements("expand", o.Y.Len(), func(w *worker, lo, hi int) {
		for i := lo; i < hi; i++ {
			at := i/(n*inner)*inner + i%inner
			put(&y.f[i], float64(o.Alpha)*float64(x.f[at]), o.Acc)
		}
	})}
}

func (l *lowering) refChannelMap(o *kernels.ChannelMap) []stage {
	x, y := l.ref(o.X), l.ref(o.Y)
	h, w, c := o.X.Dim(1), o.X.Dim(2), o.X.Dim(3)
	oh, ow, k := o.Y.Dim(1), o.Y.Dim(2), o.Y.Dim(3)
	return []stage{rows("channelmap", o.Y.Rows(), func(_ *worker, lo, hi int) {
		for p := lo; p < hi; p++ {
			src := x.f[((p/(oh*ow)*h+p/ow%oh*o.Stride)*w+p%ow*o.Stride)*c:][:c]
			for j, m := range o.Map {
				v := float32(0)
				if m >= 0 {
					v = src[m]
				}
				y.f[p*k+j] = v
			}
		}
	})}
}

func (l *lowering) refChannelMapGrad(o *kernels.ChannelMapGrad) []stage {
	dy, dx := l.ref(o.DY), l.ref(o.DX)
	h, w, c := o.DX.Dim(1), o.DX.Dim(2), o.DX.Dim(3)
	oh, ow, k := o.DY.Dim(1), o.DY.Dim(2), o.DY.Dim(3)
	return []stage{rows("channelmap-grad", o.DX.Rows(), func(_ *worker, lo, hi int) {
		for p := lo; p < hi; p++ {
			dst := dx.f[p*c:][:c]
			if !o.Acc {
				clear(dst)
			}
			n, y, x := p/(h*w), p/w%h, p%w
			if y%o.Stride != 0 || x%o.Stride != 0 {
				continue
			}
			src := dy.f[((n*oh+y/o.Stride)*ow+x/o.Stride)*k:][:k]
			for j, m := range o.Map {
				if m >= 0 {
					dst[m] += src[j]
				}
			}
		}
	})}
}
