package cpu

import "unsafe"

// convPlan computes the pixels of images as sums over taps and channels: a
// convolution, or its gradient by the input.
type convPlan struct {
	images         int
	inC, outC      int
	xImage, yImage int // floats
	depthwise      bool
	grouped        bool
	blocks         []convBlock
	wOff           []int // of each block in the packed weights; one more: their end
	group          int   // images that classes list pixels of
	bands          []convBand
	flags          int // of the last piece of a sum
	acc            bool
}

// convBand is a band of rows whose inputs fit in a cache: all its blocks are
// computed before the next band.
type convBand []convClass

// convClass are pixels that meet the same taps.
type convClass struct {
	x, y     []int32 // bytes from the group of images to the pixels' first taps and outputs
	perImage int
	pieces   [2][]convPiece // of a sum, by steps of one value and of two; none: no tap
}

// convPiece is a part of a class's taps and channels, summed in one call.
type convPiece struct {
	x          int // bytes from the pixel's first tap
	w          int // rows of packed weights from the block's first
	run        int // values
	segs, rows int
	segSkip    int // bytes
	rowSkip    int
	wSkip      int // rows of packed weights
}

const (
	// bandBytes of input are worked on block by block.
	bandBytes = 192 << 10
	// pieceRows of 16 weights stay in the first-level cache.
	pieceRows = 384
	// groupPixels is how many pixels a group of small images has: enough
	// for full tiles.
	groupPixels = 512
	// groupBytes bounds a group's input.
	groupBytes = 384 << 10
)

// newConvPlan plans passes over images [n, inH, inW, inC] → [n, outH, outW, outC].
func newConvPlan(n, inH, inW, inC, outH, outW, outC, groups int, passes []convPass) *convPlan {
	p := &convPlan{images: n, inC: inC, outC: outC, xImage: inH * inW * inC, yImage: outH * outW * outC}
	in := inC / groups
	p.grouped = groups > 1
	p.depthwise = p.grouped && inC == groups && outC == groups
	taps := 0
	for i := range passes {
		taps += passes[i].tapCount()
	}
	if p.depthwise {
		p.blocks = depthBlocks(outC)
		in = 1
	} else {
		p.blocks = channelBlocks(groups, in, outC/groups, tileWidths)
	}
	p.wOff = []int{0}
	for i, b := range p.blocks {
		p.wOff = append(p.wOff, p.wOff[i]+taps*b.steps(in)*b.row())
	}
	p.group = max(1, min(n, groupPixels/(outH*outW), groupBytes/4/p.xImage))
	for i := range passes {
		p.addPass(&passes[i], in, inW, outW)
	}
	return p
}

func (p *convPlan) addPass(ps *convPass, in, inW, outW int) {
	rows := max(1, bandBytes/4/(inW*p.inC*ps.h.inStep))
	for lo := 0; lo < ps.h.n; lo += rows {
		var b convBand
		for _, h := range ps.h.spans(lo, min(lo+rows, ps.h.n)) {
			for _, w := range ps.w.spans(0, ps.w.n) {
				b = append(b, p.class(ps, h, w, in, inW, outW))
			}
		}
		if len(b) > 0 {
			p.bands = append(p.bands, b)
		}
	}
}

func (p *convPlan) class(ps *convPass, h, w convSpan, in, inW, outW int) convClass {
	c := convClass{perImage: h.len() * w.len()}
	for g := range p.group {
		for i := h.lo; i < h.hi; i++ {
			for j := w.lo; j < w.hi; j++ {
				x := (ps.h.in(i, h.t0)*inW + ps.w.in(j, w.t0)) * p.inC
				y := (ps.h.out(i)*outW + ps.w.out(j)) * p.outC
				c.x = append(c.x, int32(4*(g*p.xImage+x)))
				c.y = append(c.y, int32(4*(g*p.yImage+y)))
			}
		}
	}
	if h.taps() == 0 || w.taps() == 0 {
		return c
	}
	for i, v := range []int{1, 2} { // values a step
		steps := (in + v - 1) / v
		whole := convPiece{
			w:    (ps.tap0 + h.t0*len(ps.w.taps) + w.t0) * steps,
			rows: h.taps(), segs: w.taps(), run: in, segSkip: 4 * (p.inC - in),
			wSkip: (len(ps.w.taps) - w.taps()) * steps,
		}
		if p.depthwise {
			whole.segSkip = 4 * p.inC
			whole.rowSkip = 4*inW*p.inC - whole.segs*whole.segSkip
			c.pieces[i] = []convPiece{whole}
			continue
		}
		if whole.segSkip == 0 && in%v == 0 {
			whole.segs, whole.run = 1, whole.segs*in
		}
		whole.rowSkip = 4*inW*p.inC - whole.segs*(4*whole.run+whole.segSkip)
		c.pieces[i] = whole.cut(4*inW*p.inC, 4*p.inC, v)
	}
	return c
}

// cut splits a sum, in steps of v values, whose weights would not stay in the
// first-level cache.
func (q convPiece) cut(pitch, pixel, v int) (out []convPiece) {
	steps := (q.run + v - 1) / v // of a run
	row := q.segs * steps
	if row*q.rows <= pieceRows {
		return []convPiece{q}
	}
	if row <= pieceRows {
		even(q.rows, pieceRows/row, func(lo, hi int) {
			s := q
			s.x, s.w, s.rows = q.x+lo*pitch, q.w+lo*(row+q.wSkip), hi-lo
			out = append(out, s)
		})
		return out
	}
	for r := range q.rows {
		for g := range q.segs {
			even(steps, pieceRows, func(lo, hi int) {
				out = append(out, convPiece{
					x: q.x + r*pitch + g*pixel + 4*v*lo, w: q.w + r*(row+q.wSkip) + g*steps + lo,
					run: min(v*hi, q.run) - v*lo, segs: 1, rows: 1,
				})
			})
		}
	}
	return out
}

// steps is the number of steps of a kernel for a run of n values.
func (b *convBlock) steps(n int) int {
	if b.width == 4 {
		return (n + 1) / 2
	}
	return n
}

// row is the number of packed weights of a step.
func (b *convBlock) row() int { return max(8, b.width) }

// run computes channel blocks [b0, b1) of images [lo, hi); w begins with the
// weights of block b0. bias is padded to whole blocks; empty without one.
func (p *convPlan) run(x, w, bias, y []float32, lo, hi, b0, b1 int) {
	for i := lo; i < hi; i += p.group {
		n := min(p.group, hi-i)
		if len(p.blocks) > 1 && !p.depthwise && 4*p.xImage <= groupBytes { // blocks touch parts of lines
			convPrefetch(addr(x, i*p.xImage), n*p.xImage/16)
			if p.grouped {
				convPrefetch(addr(y, i*p.yImage), n*p.yImage/16)
			}
		}
		for _, band := range p.bands {
			for b := b0; b < b1; b += p.together(b, b1) {
				for c := range band {
					p.tiles(&band[c], b, p.together(b, b1), x[i*p.xImage:], w[p.wOff[b]-p.wOff[b0]:], bias, y[i*p.yImage:], n)
				}
			}
		}
	}
}

// together is the number of blocks from b on that one call computes.
func (p *convPlan) together(b, b1 int) int {
	n := 1
	for p.depthwise && b+n < b1 && p.blocks[b+n].width == p.blocks[b].width && !p.blocks[b+n].masked() {
		n++
	}
	return n
}

// tiles computes some blocks of one class of n images.
func (p *convPlan) tiles(c *convClass, block, blocks int, x, w, bias, y []float32, n int) {
	b := &p.blocks[block]
	pixels := n * c.perImage
	pieces := c.pieces[0]
	if b.width == 4 {
		pieces = c.pieces[1]
	}
	if len(pieces) == 0 {
		for i := range blocks {
			p.fill(c.y[:pixels], &p.blocks[block+i], bias, y)
		}
		return
	}
	a := convTileArgs{y: addr(y, b.out), mask: convMask(b.lanes()), lanes: b.lanes()}
	if len(bias) > 0 {
		a.bias = addr(bias, b.out)
	}
	if p.depthwise {
		a.blocks, a.left = blocks, blocks
		a.xBack, a.wBlock = 4*blocks*b.width, 4*(p.wOff[block+1]-p.wOff[block])
		a.wBack = blocks * a.wBlock
	}
	tiles := (pixels + maxRows(b.width) - 1) / maxRows(b.width)
	small := pixels / tiles // tiles have small or small+1 pixels
	large := pixels - tiles*small
	for i := range pieces {
		q := &pieces[i]
		a.flags = convAdd
		if i == 0 && !p.acc {
			a.flags = 0
		}
		if i == len(pieces)-1 {
			a.flags |= p.flags
		}
		if b.masked() {
			a.flags |= convMasked
		}
		a.x, a.w = unsafe.Add(addr(x, b.in), q.x), addr(w, q.w*b.row())
		a.take(q, b)
		a.xOff, a.yOff = addr(c.x, 0), addr(c.y, 0)
		if large > 0 {
			a.pixels, a.tiles = small+1, large
			p.kernel(b.width, &a)
		}
		if large < tiles {
			a.pixels, a.tiles = small, tiles-large
			p.kernel(b.width, &a)
		}
	}
}

// take sets the loops of a piece.
func (a *convTileArgs) take(q *convPiece, b *convBlock) {
	steps := q.run
	if b.width == 4 {
		steps, a.odd = q.run/2, q.run%2
	}
	a.run4, a.run1, a.segs, a.rows = steps/4, steps%4, q.segs, q.rows
	a.segSkip, a.rowSkip, a.wSkip = q.segSkip, q.rowSkip, 4*q.wSkip*b.row()
}

func (p *convPlan) kernel(width int, a *convTileArgs) {
	switch {
	case p.depthwise && width == 16:
		convTileDepth16(a)
	case p.depthwise:
		convTileDepth8(a)
	case width == 16:
		convTile16(a)
	case width == 8:
		convTile8(a)
	default:
		convTile4(a)
	}
}

// fill stores what pixels without taps hold: the bias, or nothing.
func (p *convPlan) fill(at []int32, b *convBlock, bias, y []float32) {
	if p.acc {
		return
	}
	for _, o := range at {
		out := y[int(o)/4+b.out:][:b.n]
		clear(out)
		if len(bias) > 0 {
			for i := range out {
				out[i] = bias[b.out+i]
				if p.flags&convReLU != 0 && out[i] < 0 {
					out[i] = 0
				}
			}
		}
	}
}
