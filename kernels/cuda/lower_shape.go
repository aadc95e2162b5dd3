package cuda

import (
	"slices"

	"github.com/espalier-ml/espalier/kernels"
)

// shape lowers ops that move data, pool, or reduce along an axis.
func (l *lowering) shape(op kernels.Op) bool {
	switch o := op.(type) {
	case *kernels.Transpose:
		l.transpose(o)
	case *kernels.Slab:
		nx, ny, inner := o.X.Shape[o.Axis], o.Y.Shape[o.Axis], product(o.X.Shape[o.Axis+1:])
		n := o.X.Len() / nx * o.Len
		l.each("slab", n, o.Y, o.X, nx, ny, o.From, o.To, o.Len, inner, o.Acc, n)
	case *kernels.Gather:
		l.each("gather", o.Y.Len(), o.Y, o.Table, o.Index, o.Table.Dim(0), o.Table.Dim(1), o.Y.Len())
	case *kernels.GatherGrad:
		if !o.Acc {
			l.fill(o.DTable, 0)
		}
		l.launch("gather_grad", dim(o.Index.Len()), dim(256), 0, o.DTable, o.DY, o.Index, o.DTable.Dim(0), o.DTable.Dim(1), o.Index.Len())
	case *kernels.Pool, *kernels.PoolGrad, *kernels.GlobalPool, *kernels.GlobalPoolGrad:
		l.pool(op)
	case *kernels.Reduce:
		divisor := 1
		if o.Mean {
			divisor = o.X.Shape[o.Axis]
		}
		l.reduce(o.Y, o.X, o.X.Shape[o.Axis], product(o.X.Shape[o.Axis+1:]), divisor)
	case *kernels.Expand:
		l.expand(o.Y, o.X, o.Y.Shape[o.Axis], product(o.Y.Shape[o.Axis+1:]), o.Alpha, o.Acc)
	case *kernels.ChannelMap:
		g := mapGeometry(o.X, o.Y, o.Stride)
		l.each("channel_map", o.Y.Len(), append([]any{o.Y, o.X, l.constant(o.Map)}, append(g, o.Y.Len())...)...)
	case *kernels.ChannelMapGrad:
		back := slices.Repeat([]int32{-1}, o.DX.Dim(3))
		for k, c := range o.Map {
			if c >= 0 {
				back[c] = int32(k)
			}
		}
		g := mapGeometry(o.DX, o.DY, o.Stride)
		l.each("channel_map_grad", o.DX.Len(), append([]any{o.DX, o.DY, l.constant(back)}, append(g, o.Acc, o.DX.Len())...)...)
	default:
		return false
	}
	return true
}

// mapGeometry lists h, w, c, oh, ow, k, stride of a channel map of x to y.
func mapGeometry(x, y *kernels.Tensor, stride int) []any {
	return []any{x.Dim(1), x.Dim(2), x.Dim(3), y.Dim(1), y.Dim(2), y.Dim(3), stride}
}

// transpose goes through shared memory where it swaps two runs of axes at the
// end, which most do.
func (l *lowering) transpose(o *kernels.Transpose) {
	rank, b := len(o.Perm), 0
	for b < rank && o.Perm[b] == b {
		b++
	}
	if b < rank {
		at := o.Perm[b] // X's axes [b, at) and [at, rank) change places
		swapped := true
		for i := b; i < rank; i++ {
			swapped = swapped && o.Perm[i] == b+(i+at-2*b)%(rank-b)
		}
		batch, rows, cols := product(o.X.Shape[:b]), product(o.X.Shape[b:at]), product(o.X.Shape[at:])
		if grid := dim(ceil(cols, 32), ceil(rows, 32), batch); swapped && grid[1] <= 65535 && grid[2] <= 65535 {
			l.launch("transpose_tiled", grid, dim(32, 8), 0, o.Y, o.X, rows, cols, o.Acc)
			return
		}
	}
	axes := make([]int32, 2*rank) // Y's sizes, then distances in X
	for i, axis := range o.Perm {
		axes[i], axes[rank+i] = int32(o.X.Shape[axis]), int32(product(o.X.Shape[axis+1:]))
	}
	l.each("transpose", o.Y.Len(), o.Y, o.X, l.constant(axes), rank, o.Acc, o.Y.Len())
}

// reduce sums x [outer, n, inner] over its middle axis.
func (l *lowering) reduce(y, x *kernels.Tensor, n, inner, divisor int) {
	if inner == 1 {
		l.perRow("reduce_rows", y.Len(), n, y, x, n, float32(divisor))
		return
	}
	l.each("reduce_axis", y.Len(), y, x, n, inner, float32(divisor), y.Len())
}

func (l *lowering) expand(y, x *kernels.Tensor, n, inner int, alpha float32, acc bool) {
	l.each("expand", y.Len(), y, x, n, inner, alpha, acc, y.Len())
}

func (l *lowering) pool(op kernels.Op) {
	switch o := op.(type) {
	case *kernels.Pool:
		l.each("pool", o.Y.Len(), o.Y, o.Where, o.X, o.Max, o.X.Dim(1), o.X.Dim(2), o.X.Dim(3), o.Y.Dim(1), o.Y.Dim(2),
			o.Window, o.Stride, o.Pad, o.Y.Len())
	case *kernels.PoolGrad:
		l.each("pool_grad", o.DX.Len(), o.DX, o.Where, o.DY, o.Max, o.DX.Dim(1), o.DX.Dim(2), o.DX.Dim(3), o.DY.Dim(1), o.DY.Dim(2),
			o.Window, o.Stride, o.Pad, o.Acc, o.DX.Len())
	case *kernels.GlobalPool:
		pixels := o.X.Dim(1) * o.X.Dim(2)
		l.reduce(o.Y, o.X, pixels, o.X.Dim(3), pixels)
	case *kernels.GlobalPoolGrad:
		pixels := o.DX.Dim(1) * o.DX.Dim(2)
		l.expand(o.DX, o.DY, pixels, o.DX.Dim(3), 1/float32(pixels), o.Acc)
	}
}
