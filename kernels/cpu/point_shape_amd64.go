package cpu

import "github.com/espalier-ml/espalier/kernels"

// axes sees a tensor as [outer][n][inner].
type axes struct{ outer, n, inner int }

func lowerSlab(l *lowering, o *kernels.Slab) []stage {
	x, y := l.ref(o.X), l.ref(o.Y)
	outer, nx, inner := split(o.X.Shape, o.Axis)
	ny := o.Y.Shape[o.Axis]
	n := o.Len * inner
	kernel := copyRows
	if o.Acc {
		kernel = addRows
	}
	move := func(_ *worker, lo, hi int) { // of the outer axes
		if lo < hi {
			src, dst := (lo*nx+o.From)*inner, (lo*ny+o.To)*inner
			kernel(ptr(y.f[dst:(hi-1)*ny*inner+o.To*inner+n]), ptr(x.f[src:(hi-1)*nx*inner+o.From*inner+n]), n, hi-lo, ny*inner, nx*inner)
		}
	}
	if o.Axis == 0 { // one piece
		return []stage{bySize("slab", n, 16, func(_ *worker, lo, hi int) {
			src, dst := o.From*inner, o.To*inner
			kernel(ptr(y.f[dst+lo:dst+hi]), ptr(x.f[src+lo:src+hi]), hi-lo, 1, 0, 0)
		})}
	}
	if images := o.X.Shape[0]; images >= fewImages {
		each := outer / images
		return []stage{{name: "slab", images: images, bytes: 8 * n * each,
			batch: func(w *worker, _, lo, hi int) { move(w, lo*each, hi*each) }}}
	}
	return []stage{bySize("slab", outer*n, n, func(w *worker, lo, hi int) { move(w, lo/n, hi/n) })}
}

func lowerReduce(l *lowering, o *kernels.Reduce) []stage {
	outer, n, inner := split(o.X.Shape, o.Axis)
	a := axes{outer, n, inner}
	if o.Axis == 0 && inner > 1 {
		return reduceOuter(l, o.X, o.Y, a, o.Mean)
	}
	return reduceInner(l, o.X, o.Y, a, o.Mean)
}

// reduceInner sums over n for each of the outer indices.
func reduceInner(l *lowering, x, y *kernels.Tensor, a axes, mean bool) []stage {
	xr, yr := l.ref(x), l.ref(y)
	width := tileWidth(a.inner, 64)
	l.local(width)
	per := a.n * a.inner
	scale := float32(1)
	if mean {
		scale = float32(1 / float64(a.n))
	}
	sum := func(w *worker, i int) {
		x, y := xr.f[i*per:(i+1)*per], yr.f[i*a.inner:(i+1)*a.inner]
		if a.inner == 1 {
			y[0] = float32(total(x)) * scale
			return
		}
		acc := w.floats(width)
		clear(acc)
		sumOfRows(acc, x)
		for k := a.inner; k < width; k += a.inner {
			addInto(ptr(acc), ptr(acc), ptr(acc[k:]), a.inner)
		}
		scaleInto(ptr(y), ptr(acc), a.inner, scale)
	}
	each := func(w *worker, lo, hi int) {
		for i := lo; i < hi; i++ {
			sum(w, i)
		}
	}
	if images := x.Shape[0]; images >= fewImages && a.outer%images == 0 && a.outer > 1 {
		k := a.outer / images
		return []stage{{name: "reduce", images: images, bytes: 4 * per * k,
			batch: func(w *worker, _, lo, hi int) { each(w, lo*k, hi*k) }}}
	}
	return []stage{bySize("reduce", a.outer*per, per, func(w *worker, lo, hi int) { each(w, lo/per, hi/per) })}
}

// total is the sum of x.
func total(x []float32) (sum float64) {
	for len(x) > 0 {
		n := min(len(x), 4096)
		var s float32
		sumOf(&s, ptr(x), n)
		sum += float64(s)
		x = x[n:]
	}
	return sum
}

// reduceOuter sums over the leading axis: parts of rows, then the parts.
func reduceOuter(l *lowering, x, y *kernels.Tensor, a axes, mean bool) []stage {
	parts := max(1, min(16, a.n, a.n*a.inner/partElems))
	sums := l.temp("reduce sums", parts*a.inner)
	xr, sr, yr := l.ref(x), l.ref(sums), l.ref(y)
	scale := float32(1)
	if mean {
		scale = float32(1 / float64(a.n))
	}
	add := stage{name: "reduce", reads: given(x), writes: given(sums), parts: parts, run: func(_ *worker, p int) {
		s := sr.f[p*a.inner : (p+1)*a.inner]
		clear(s)
		sumOfRows(s, xr.f[p*a.n/parts*a.inner:(p+1)*a.n/parts*a.inner])
	}}
	fold := bySize("reduce fold", a.inner, 16, func(_ *worker, lo, hi int) {
		out := ptr(yr.f[lo:hi])
		scaleInto(out, ptr(sr.f[lo:hi]), hi-lo, 1)
		for p := 1; p < parts; p++ {
			addInto(out, out, ptr(sr.f[p*a.inner+lo:p*a.inner+hi]), hi-lo)
		}
		scaleInto(out, out, hi-lo, scale)
	})
	fold.reads, fold.writes = given(sums), given(y)
	return []stage{add, fold}
}

func lowerExpand(l *lowering, o *kernels.Expand) []stage {
	outer, n, inner := split(o.Y.Shape, o.Axis)
	a := axes{outer, n, inner}
	if o.Axis > 0 {
		return expandInner(l, o.X, o.Y, a, o.Alpha, o.Acc)
	}
	prepare, tile := tiled(l, "expand operand", o.X, o.Alpha)
	t, y := l.ref(tile), l.ref(o.Y)
	st := elementwise("expand", o.Y, 4, inner, func(_ *worker, lo, hi int) {
		spreadRow(y.f[lo:hi], t.f, o.Acc)
	})
	st.reads, st.writes = given(tile), given(o.Y)
	if o.Acc {
		st.reads = append(st.reads, o.Y)
	}
	return []stage{prepare, st}
}

// spreadRow writes or adds row to y as often as it fits, at last in part.
func spreadRow(y, row []float32, acc bool) {
	kernel := copyRows
	if acc {
		kernel = addRows
	}
	n := len(row)
	if k := len(y) / n; k > 0 {
		kernel(ptr(y), ptr(row), n, k, n, 0)
		y = y[k*n:]
	}
	if len(y) > 0 {
		kernel(ptr(y), ptr(row), len(y), 1, 0, 0)
	}
}

// expandInner repeats alpha·x n times for each of the outer indices.
func expandInner(l *lowering, x, y *kernels.Tensor, a axes, alpha float32, acc bool) []stage {
	xr, yr := l.ref(x), l.ref(y)
	width := tileWidth(a.inner, 64)
	per := a.n * a.inner
	l.local(width)
	each := func(w *worker, lo, hi int) {
		tile := w.floats(width)
		for i := lo; i < hi; i++ {
			scaleInto(ptr(tile), ptr(xr.f[i*a.inner:(i+1)*a.inner]), a.inner, alpha)
			repeat(tile[a.inner:], tile[:a.inner])
			spreadRow(yr.f[i*per:(i+1)*per], tile, acc)
		}
	}
	if images := y.Shape[0]; images >= fewImages && a.outer%images == 0 {
		k := a.outer / images
		return []stage{{name: "expand", images: images, bytes: 4 * per * k,
			batch: func(w *worker, _, lo, hi int) { each(w, lo*k, hi*k) }}}
	}
	return []stage{bySize("expand", a.outer*per, per, func(w *worker, lo, hi int) { each(w, lo/per, hi/per) })}
}
