package cpu

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
