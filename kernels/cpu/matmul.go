package cpu

import "github.com/espalier-ml/espalier/kernels"

// lowerMatMul turns products of matrices and sums of rows into stages.
//
// Which cut a product gets follows from its shape:
//   - A with images (rank 3 and more) times a weight is a batch stage, so that
//     it runs interleaved with its neighbours, on weights packed beforehand;
//   - Aᵀ·B over images, the gradient of such a weight, is a batch stage with a
//     partial sum for each part, folded afterwards;
//   - a batch of products is a batch stage;
//   - everything else is a private stage cut into a grid over C or, for a
//     small C and long sums, over the inner axis.
func lowerMatMul(l *lowering, op kernels.Op) []stage {
	switch o := op.(type) {
	case *kernels.MatMul:
		return l.matMul(o)
	case *kernels.SumRows:
		return l.sumRows(o)
	}
	return nil
}

// minImageRows is the least number of rows of an image for which a product is
// cut by images: fewer would waste the packed weights.
const minImageRows = 32

// maxTemp is the number of floats of operands that are packed as a whole
// where that is not needed: 16 MB.
const maxTemp = 4 << 20

// matMul is a product with its memory.
type matMul struct {
	gemm
	o         *kernels.MatMul
	batch     int // products
	images    int // slices of the rows of A, 0 when there are none
	a, b, c   *ref
	bias, pre *ref
}

func (l *lowering) matMul(o *kernels.MatMul) []stage {
	p := &matMul{o: o, a: l.ref(o.A), b: l.ref(o.B), c: l.ref(o.C), bias: l.ref(o.Bias), pre: l.ref(o.Pre)}
	p.batch, p.m, p.n, p.k = o.Dims()
	p.transA, p.transB, p.alpha = o.TransA, o.TransB, o.Alpha
	if p.alpha == 0 {
		p.alpha = 1
	}
	p.lda, p.ldb, p.ldc = o.A.Dim(-1), o.B.Dim(-1), p.n
	if len(o.A.Shape) > 2 {
		p.images = o.A.Shape[0]
	}
	rows := 0 // of an image
	if p.images > 1 {
		rows = o.A.Rows() / p.images
	}
	switch {
	case p.batch > 1:
		return p.products(l)
	case p.transA:
		if parts := batchParts(p.images); rows >= minImageRows && !p.transB && parts*p.m*p.n <= p.k*(p.m+p.n) {
			return p.gradientByImage(l, rows)
		}
		if panels(p.n)*p.m < 64*6 && p.k >= 1024 && !p.transB {
			return p.gradientByRows(l)
		}
		return p.grid(l)
	case rows >= minImageRows && (p.n*p.k <= 256<<10 || rows >= 128):
		return p.byImage(l, rows)
	case p.m > 256 && panels(p.n) < 16 || p.m >= 1024 && p.n*p.k <= maxTemp:
		return p.byRows(l)
	}
	return p.grid(l)
}

// epilogue is the epilogue of the product from element off of C on.
func (p *matMul) epilogue(off int) epilogue {
	e := epilogue{acc: p.o.Acc, bias: p.bias.f, act: p.o.Act}
	if p.pre.f != nil {
		e.pre = p.pre.f[off:]
	}
	return e
}

// operands lists the operands without B, which may be packed before.
func (p *matMul) operands(packed *kernels.Tensor) (reads, writes []*kernels.Tensor) {
	reads = []*kernels.Tensor{p.o.A, packed}
	if p.o.Bias != nil {
		reads = append(reads, p.o.Bias)
	}
	if p.o.Acc {
		reads = append(reads, p.o.C)
	}
	return reads, p.o.Outputs()
}

// packed returns scratch for op(B) and the stage that fills it, which reads B
// only and so may run long before the product.
func (p *matMul) packed(l *lowering) (*kernels.Tensor, stage) {
	t := l.temp("packed "+p.o.B.Name, p.packedLen(p.n))
	to, all := l.ref(t), span{0, p.n}
	parts := (panels(p.n) + 7) / 8
	return t, stage{name: "pack", reads: []*kernels.Tensor{p.o.B}, writes: []*kernels.Tensor{t}, parts: parts,
		run: func(_ *worker, part int) {
			p.packShare(to.f, p.b.f, all, all.share(part, parts))
		}}
}

// byImage multiplies image by image with weights packed beforehand.
func (p *matMul) byImage(l *lowering, rows int) []stage {
	temp, pack := p.packed(l)
	reads, writes := p.operands(temp)
	packed, g, cols := l.ref(temp), p.gemm, span{0, p.n}
	g.m = rows
	image := (p.k + p.n) * 4 * rows
	if p.o.Pre != nil {
		image += p.n * 4 * rows
	}
	return []stage{pack, {name: "matmul", reads: reads, writes: writes, images: p.images, bytes: image,
		batch: func(_ *worker, _, lo, hi int) {
			e := p.epilogue(lo * rows * p.n)
			g.run(p.a.f[lo*rows*p.lda:], packedB{packed.f, cols}, p.c.f[lo*rows*p.n:], span{0, (hi - lo) * rows}, cols, &e)
		}}}
}

// byRows cuts the rows of a long A, with B packed beforehand.
func (p *matMul) byRows(l *lowering) []stage {
	temp, pack := p.packed(l)
	reads, writes := p.operands(temp)
	packed, parts, cols := l.ref(temp), min(32, (p.m+47)/48), span{0, p.n}
	return []stage{pack, {name: "matmul", reads: reads, writes: writes, parts: parts,
		run: func(_ *worker, part int) {
			e := p.epilogue(0)
			p.run(p.a.f, packedB{packed.f, cols}, p.c.f, span{part * p.m / parts, (part + 1) * p.m / parts}, cols, &e)
		}}}
}

// products computes a batch of products, packing B on the way.
func (p *matMul) products(l *lowering) []stage {
	l.local(p.streamLen())
	sizeA, sizeB, sizeC := p.o.A.Len()/p.batch, p.o.B.Len()/p.batch, p.m*p.n
	return []stage{{name: "matmul", images: p.batch, bytes: 4 * (sizeA + sizeB + sizeC),
		batch: func(w *worker, _, lo, hi int) {
			for i := lo; i < hi; i++ {
				e := p.epilogue(i * sizeC)
				p.stream(w.floats(p.streamLen()), p.a.f[i*sizeA:], p.b.f[i*sizeB:], p.c.f[i*sizeC:], span{0, p.m}, span{0, p.n}, &e)
			}
		}}}
}

// grid cuts C into up to 16 parts, along its longer side first: by columns, B
// is read once, by rows A.
func (p *matMul) grid(l *lowering) []stage {
	const work = 1 << 18 // multiply-adds that are worth a part
	g, a := p.gemm, p.a
	reads, writes := p.operands(p.o.B)
	var st []stage
	high := 6 // rows of a cut
	if p.transA && p.lda >= 512 && p.n >= 128 && p.m*p.k <= maxTemp {
		t := l.temp("packed "+p.o.A.Name, p.m*p.k)
		a = l.ref(t)
		st = append(st, p.tiled(t, a))
		g.tall, high = true, blockRows
		reads[0] = t
	}
	want := min(16, 1+p.m*p.n*p.k/work)
	bands := (p.m + high - 1) / high
	across, down := min(want, panels(p.n)), 1
	if p.m >= 2*p.n {
		down = min(want, bands)
		across = min((want+down-1)/down, panels(p.n))
	} else {
		down = min((want+across-1)/across, bands)
	}
	l.local(g.streamLen())
	return append(st, stage{name: "matmul", reads: reads, writes: writes, parts: across * down,
		run: func(w *worker, part int) {
			i, e := part/across, p.epilogue(0)
			rows := span{i * bands / down * high, min(g.m, (i+1)*bands/down*high)}
			g.stream(w.floats(g.streamLen()), a.f, p.b.f, p.c.f, rows, span{0, g.n}.share(part%across, across), &e)
		}})
}

// tiled is the stage that packs Aᵀ into tiles.
func (p *matMul) tiled(t *kernels.Tensor, to *ref) stage {
	return stage{name: "pack", reads: []*kernels.Tensor{p.o.A}, writes: []*kernels.Tensor{t},
		parts: (p.m + blockRows - 1) / blockRows,
		run: func(_ *worker, part int) {
			p.packA(to.f, p.a.f, span{part * blockRows, min(p.m, (part+1)*blockRows)})
		}}
}
