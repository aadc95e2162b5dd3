package cpu

import "github.com/espalier-ml/espalier/kernels"

// gradientByImage is Aᵀ·B over the rows of images: every part adds its images
// up in memory of its own.
func (p *matMul) gradientByImage(l *lowering, rows int) []stage {
	g, size, parts := p.gemm, p.m*p.n, batchParts(p.images)
	g.k = rows
	t := l.temp("partial "+p.o.C.Name, parts*size)
	sum := l.ref(t)
	scratch := g.streamLen()
	tall := g.lda >= 512 && g.n >= 128
	if tall {
		scratch += g.m * g.k
	}
	l.local(scratch)
	sums := stage{name: "matmul", reads: []*kernels.Tensor{p.o.A, p.o.B}, writes: []*kernels.Tensor{t},
		images: p.images, bytes: 4 * rows * (p.m + p.n),
		batch: func(w *worker, part, lo, hi int) {
			first, _ := partRange(p.images, part)
			mem := w.floats(scratch)
			for i := lo; i < hi; i++ {
				e := epilogue{acc: i > first}
				g.gradient(mem, p.a.f[i*rows*g.lda:], p.b.f[i*rows*g.ldb:], sum.f[part*size:], tall, &e)
			}
		}}
	return []stage{sums, l.fold(p.o.C, t, parts, p.o.Acc)}
}

// gradientByRows is Aᵀ·B for a small C: the rows are cut into parts, each
// with a sum of its own.
func (p *matMul) gradientByRows(l *lowering) []stage {
	const parts = 16
	g, size := p.gemm, p.m*p.n
	t := l.temp("partial "+p.o.C.Name, parts*size)
	sum := l.ref(t)
	g.k = (p.k + parts - 1) / parts
	scratch := g.streamLen()
	g.k-- // of the other parts
	scratch = max(scratch, g.streamLen())
	l.local(scratch)
	sums := stage{name: "matmul", reads: []*kernels.Tensor{p.o.A, p.o.B}, writes: []*kernels.Tensor{t}, parts: parts,
		run: func(w *worker, part int) {
			g, from := g, part*p.k/parts
			g.k = (part+1)*p.k/parts - from
			g.gradient(w.floats(scratch), p.a.f[from*g.lda:], p.b.f[from*g.ldb:], sum.f[part*size:], false, &epilogue{})
		}}
	return []stage{sums, l.fold(p.o.C, t, parts, p.o.Acc)}
}

// gradient is C = Aᵀ·B, with A packed into tiles first if tall.
func (g gemm) gradient(scratch, a, b, c []float32, tall bool, e *epilogue) {
	if tall {
		tiles := scratch[:g.m*g.k]
		for r := 0; r < g.m; r += blockRows {
			g.packA(tiles, a, span{r, min(g.m, r+blockRows)})
		}
		a, scratch, g.tall = tiles, scratch[len(tiles):], true
	}
	g.stream(scratch, a, b, c, span{0, g.m}, span{0, g.n}, e)
}

// fold is the stage y (+)= the sum of n partial results, in their order.
func (l *lowering) fold(y, partial *kernels.Tensor, n int, acc bool) stage {
	to, from, size := l.ref(y), l.ref(partial), y.Len()
	parts := min(16, 1+size/4096)
	reads := []*kernels.Tensor{partial}
	if acc {
		reads = append(reads, y)
	}
	return stage{name: "fold", reads: reads, writes: []*kernels.Tensor{y}, parts: parts,
		run: func(_ *worker, part int) {
			lo, hi := part*size/parts, (part+1)*size/parts
			k, src := n, from.f[lo:]
			if !acc {
				copy(to.f[lo:hi], src)
				k, src = n-1, src[min(size, len(src)-1):]
			}
			addRowsAVX(&to.f[lo], &src[0], uintptr(size*4), k, hi-lo)
		}}
}

// sumRows adds image by image where X has images, else column by column.
func (l *lowering) sumRows(o *kernels.SumRows) []stage {
	x, n := l.ref(o.X), o.Y.Len()
	images, each := o.X.Shape[0], o.X.Len()/o.X.Shape[0]
	if images < 2 || each%n != 0 {
		return l.sumColumns(o)
	}
	parts := batchParts(images)
	t := l.temp("partial "+o.Y.Name, parts*n)
	sum := l.ref(t)
	sums := stage{name: "sumrows", reads: []*kernels.Tensor{o.X}, writes: []*kernels.Tensor{t},
		images: images, bytes: 4 * each,
		batch: func(_ *worker, part, lo, hi int) {
			s := sum.f[part*n:][:n]
			if first, _ := partRange(images, part); lo == first {
				clear(s)
			}
			addRowsAVX(&s[0], &x.f[lo*each], uintptr(n*4), (hi-lo)*each/n, n)
		}}
	return []stage{sums, l.fold(o.Y, t, parts, o.Acc)}
}

func (l *lowering) sumColumns(o *kernels.SumRows) []stage {
	x, y, n := l.ref(o.X), l.ref(o.Y), o.Y.Len()
	rows, parts := o.X.Len()/n, min(16, (n+63)/64)
	return []stage{{name: "sumrows", parts: parts, run: func(_ *worker, part int) {
		lo, hi := part*n/parts, (part+1)*n/parts
		if !o.Acc {
			clear(y.f[lo:hi])
		}
		addRowsAVX(&y.f[lo], &x.f[lo], uintptr(n*4), rows, hi-lo)
	}}}
}
