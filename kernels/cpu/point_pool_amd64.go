package cpu

import (
	"unsafe"

	"github.com/espalier-ml/espalier/kernels"
)

// clip returns the positions [lo, hi) of a window at output o that lie inside
// an axis of n pixels.
func clip(o, stride, pad, size, n int) (lo, hi int) {
	at := o*stride - pad
	return max(0, -at), min(size, n-at)
}

func lowerPool(l *lowering, o *kernels.Pool) []stage {
	g := poolWindow(o.X, o.Y, o.Window, o.Stride, o.Pad)
	x, y, where := l.ref(o.X), l.ref(o.Y), l.ref(o.Where)
	perX, perY := perImage(o.X), perImage(o.Y)
	if o.Where == nil && o.Max {
		l.local((g.c + 3) / 4)
	}
	return []stage{{
		name: "pool", images: g.n, bytes: 4 * (perX + perY),
		batch: func(w *worker, _, lo, hi int) {
			for row := lo * g.oh; row < hi*g.oh; row++ {
				g.poolRow(o, w, x.f[row/g.oh*perX:][:perX], y.f[row*g.ow*g.c:][:g.ow*g.c], where, row)
			}
		},
	}}
}

// poolRow computes one row of outputs; row counts those of all images.
func (g *window) poolRow(o *kernels.Pool, w *worker, x, y []float32, where *ref, row int) {
	kh, endH := clip(row%g.oh, g.Stride, g.Pad, g.kh, g.h)
	top := (row%g.oh*g.Stride - g.Pad + kh) * g.w
	for ow := range g.ow {
		kw, endW := clip(ow, g.Stride, g.Pad, g.kw, g.w)
		rows, cols := endH-kh, endW-kw
		src := x[(top+ow*g.Stride-g.Pad+kw)*g.c:][:((rows-1)*g.w+cols)*g.c]
		dst := y[ow*g.c : (ow+1)*g.c]
		if o.Max {
			at := g.whereAt(w, where, row*g.ow+ow)
			maxPoolPixel(ptr(dst), at, ptr(src), g.c, rows, cols, 4*g.c, 4*g.w*g.c,
				float32(kh*g.kw+kw), float32(g.kw-cols))
			continue
		}
		scaleInto(ptr(dst), ptr(src), g.c, 1)
		for t := 1; t < rows*cols; t++ {
			addInto(ptr(dst), ptr(dst), ptr(src[(t/cols*g.w+t%cols)*g.c:]), g.c)
		}
		scaleInto(ptr(dst), ptr(dst), g.c, 1/float32(rows*cols))
	}
}

// whereAt is the memory for the places of the maxima of an output pixel.
func (g *window) whereAt(w *worker, where *ref, pixel int) *uint8 {
	if where.t == nil {
		return (*uint8)(unsafe.Pointer(ptr(w.floats((g.c + 3) / 4))))
	}
	return unsafe.SliceData(where.u[pixel*g.c : (pixel+1)*g.c])
}

// lowerPoolGrad adds, input row by input row, the rows of outputs whose
// windows hold it.
func lowerPoolGrad(l *lowering, o *kernels.PoolGrad) []stage {
	g := poolWindow(o.DX, o.DY, o.Window, o.Stride, o.Pad)
	dy, where, dx := l.ref(o.DY), l.ref(o.Where), l.ref(o.DX)
	perX := perImage(o.DX)
	l.local(g.ow * g.c)
	return []stage{{
		name: "pool gradient", images: g.n, bytes: 4 * (perX + perImage(o.DY)),
		batch: func(w *worker, _, lo, hi int) {
			if !o.Acc {
				clear(dx.f[lo*perX : hi*perX])
			}
			for row := lo * g.oh; row < hi*g.oh; row++ {
				kh, endH := clip(row%g.oh, g.Stride, g.Pad, g.kh, g.h)
				d := dy.f[row*g.ow*g.c:][:g.ow*g.c]
				if !o.Max {
					d = g.shares(w.floats(g.ow*g.c), d, endH-kh)
				}
				for ; kh < endH; kh++ {
					h := row/g.oh*g.h + row%g.oh*g.Stride - g.Pad + kh
					g.poolGradRow(dx.f[h*g.w*g.c:][:g.w*g.c], d, where, row, kh)
				}
			}
		},
	}}
}

// shares divides a row of gradients by the numbers of pixels averaged.
func (g *window) shares(dst, dy []float32, rows int) []float32 {
	for ow := range g.ow {
		lo, hi := clip(ow, g.Stride, g.Pad, g.kw, g.w)
		scaleInto(ptr(dst[ow*g.c:]), ptr(dy[ow*g.c:(ow+1)*g.c]), g.c, 1/float32(rows*(hi-lo)))
	}
	return dst
}

// poolGradRow adds to a row of pixels what a row of outputs has for it.
func (g *window) poolGradRow(dx, dy []float32, where *ref, row, kh int) {
	for kw := range g.kw {
		// outputs whose position kw lies in the row
		lo := max(0, (g.Pad-kw+g.Stride-1)/g.Stride)
		hi := min(g.ow, (g.w-1+g.Pad-kw)/g.Stride+1)
		if g.w-1+g.Pad-kw < 0 || lo >= hi {
			continue
		}
		at := lo*g.Stride - g.Pad + kw
		dst := ptr(dx[at*g.c : (at+(hi-1-lo)*g.Stride+1)*g.c])
		src := ptr(dy[lo*g.c : hi*g.c])
		if where.t == nil {
			addRows(dst, src, g.c, hi-lo, g.Stride*g.c, g.c)
			continue
		}
		u := where.u[(row*g.ow+lo)*g.c : (row*g.ow+hi)*g.c]
		maxPoolGradRow(dst, src, unsafe.SliceData(u), g.c, hi-lo, g.Stride*g.c, float32(kh*g.kw+kw))
	}
}
