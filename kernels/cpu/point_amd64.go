package cpu

import "github.com/espalier-ml/espalier/kernels"

func lowerPoint(l *lowering, op kernels.Op) []stage {
	switch o := op.(type) {
	case *kernels.Unary:
		return lowerUnary(l, o)
	case *kernels.UnaryGrad:
		return lowerUnaryGrad(l, o)
	case *kernels.Binary:
		return lowerBinary(l, o)
	case *kernels.Axpby:
		return lowerAxpby(l, o)
	case *kernels.Fill:
		y := l.ref(o.Y)
		return []stage{elementwise("fill", o.Y, 4, 16, func(_ *worker, lo, hi int) {
			fillWith(ptr(y.f[lo:hi]), hi-lo, o.Value)
		})}
	case *kernels.Dropout:
		return lowerDropout(l, o)
	case *kernels.Gather:
		return lowerGather(l, o)
	case *kernels.GatherGrad:
		return lowerGatherGrad(l, o)
	case *kernels.Pool:
		return lowerPool(l, o)
	case *kernels.PoolGrad:
		return lowerPoolGrad(l, o)
	}
	return lowerShape(l, op)
}

// lowerShape is lowerPoint for ops that move numbers to another place or add
// them up along an axis.
func lowerShape(l *lowering, op kernels.Op) []stage {
	switch o := op.(type) {
	case *kernels.Transpose:
		return lowerTranspose(l, o)
	case *kernels.Slab:
		return lowerSlab(l, o)
	case *kernels.ChannelMap:
		return lowerChannelMap(l, o)
	case *kernels.ChannelMapGrad:
		return lowerChannelMapGrad(l, o)
	case *kernels.GlobalPool:
		s := o.X.Shape
		return reduceInner(l, o.X, o.Y, axes{s[0], s[1] * s[2], s[3]}, true)
	case *kernels.GlobalPoolGrad:
		s := o.DX.Shape
		a := axes{s[0], s[1] * s[2], s[3]}
		return expandInner(l, o.DY, o.DX, a, 1/float32(a.n), o.Acc)
	case *kernels.Reduce:
		return lowerReduce(l, o)
	case *kernels.Expand:
		return lowerExpand(l, o)
	}
	return nil
}

func lowerUnary(l *lowering, o *kernels.Unary) []stage {
	x, y := l.ref(o.X), l.ref(o.Y)
	return []stage{elementwise("unary "+o.Fn.String(), o.Y, 8, 16, func(_ *worker, lo, hi int) {
		vact(o.Fn, y.f[lo:hi], x.f[lo:hi])
	})}
}

// gradBlock is the number of elements whose gradient is kept apart before it
// is added.
const gradBlock = 2048

func lowerUnaryGrad(l *lowering, o *kernels.UnaryGrad) []stage {
	x, dy, dx := l.ref(o.X), l.ref(o.DY), l.ref(o.DX)
	if !o.Acc {
		return []stage{elementwise("unary gradient "+o.Fn.String(), o.DX, 12, 16, func(_ *worker, lo, hi int) {
			vactGrad(o.Fn, dx.f[lo:hi], x.f[lo:hi], dy.f[lo:hi])
		})}
	}
	l.local(gradBlock)
	return []stage{elementwise("unary gradient "+o.Fn.String(), o.DX, 12, 16, func(w *worker, lo, hi int) {
		for ; lo < hi; lo += gradBlock {
			end := min(hi, lo+gradBlock)
			t := w.floats(gradBlock)[:end-lo]
			vactGrad(o.Fn, t, x.f[lo:end], dy.f[lo:end])
			d := ptr(dx.f[lo:end])
			addInto(d, d, ptr(t), len(t))
		}
	})}
}

func lowerBinary(l *lowering, o *kernels.Binary) []stage {
	kernel := [3][2]func(y, a, b *float32, n int){
		{addInto, addIntoAcc}, {subInto, subIntoAcc}, {mulInto, mulIntoAcc},
	}[o.Fn][0]
	if o.Acc {
		kernel = [3]func(y, a, b *float32, n int){addIntoAcc, subIntoAcc, mulIntoAcc}[o.Fn]
	}
	a, b, y := l.ref(o.A), l.ref(o.B), l.ref(o.Y)
	n := o.B.Len()
	if n == o.A.Len() && len(o.B.Shape) == len(o.A.Shape) {
		return []stage{elementwise("binary "+o.Fn.String(), o.Y, 12, 16, func(_ *worker, lo, hi int) {
			kernel(ptr(y.f[lo:hi]), ptr(a.f[lo:hi]), ptr(b.f[lo:hi]), hi-lo)
		})}
	}
	prepare, tile := tiled(l, "binary operand", o.B, 1)
	t, width := l.ref(tile), tile.Len()
	st := elementwise("binary "+o.Fn.String(), o.Y, 8, n, func(_ *worker, lo, hi int) {
		for i := lo; i < hi; i += width {
			end := min(hi, i+width)
			kernel(ptr(y.f[i:end]), ptr(a.f[i:end]), ptr(t.f), end-i)
		}
	})
	st.reads, st.writes = append(given(tile), without(o.Inputs(), o.B)...), given(o.Y)
	return []stage{prepare, st}
}

// tiled returns a private stage that repeats alpha·x to a tile.
func tiled(l *lowering, name string, x *kernels.Tensor, alpha float32) (stage, *kernels.Tensor) {
	n := x.Len()
	tile := l.temp(name, tileWidth(n, 512))
	xr, tr := l.ref(x), l.ref(tile)
	return stage{name: name, reads: given(x), writes: given(tile), parts: 1, run: func(*worker, int) {
		scaleInto(ptr(tr.f), ptr(xr.f), n, alpha)
		repeat(tr.f[n:], tr.f[:n])
	}}, tile
}

// without is the list less one operand.
func without(ts []*kernels.Tensor, x *kernels.Tensor) []*kernels.Tensor {
	var out []*kernels.Tensor
	for _, t := range ts {
		if t != x {
			out = append(out, t)
		}
	}
	return out
}

func lowerAxpby(l *lowering, o *kernels.Axpby) []stage {
	x, y := l.ref(o.X), l.ref(o.Y)
	bytes := 12
	if o.Beta == 0 {
		bytes = 8
	}
	return []stage{elementwise("axpby", o.Y, bytes, 16, func(_ *worker, lo, hi int) {
		x, y := ptr(x.f[lo:hi]), ptr(y.f[lo:hi])
		switch {
		case o.Beta == 0:
			scaleInto(y, x, hi-lo, o.Alpha)
		case o.Beta == 1:
			axpy(y, x, hi-lo, o.Alpha)
		default:
			axpby(y, x, hi-lo, o.Alpha, o.Beta)
		}
	})}
}
