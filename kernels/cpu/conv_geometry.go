package cpu

// This file describes which input pixels an output pixel of a convolution
// meets, without halos: pixels that see the same taps form a class, and taps
// that fall into the padding are never computed.

// convAxis is one spatial axis of a pass over an image: output i of n is
// stored at index out0+i·outStep and meets, at tap t, input in0+i·inStep+t of
// [0, size). taps holds the weight index of every tap.
type convAxis struct {
	n             int
	out0, outStep int
	in0, inStep   int
	size          int
	taps          []int
}

// forwardAxis is the axis of a convolution of k taps.
func forwardAxis(in, out, k, stride, pad int) convAxis {
	a := convAxis{n: out, outStep: 1, in0: -pad, inStep: stride, size: in, taps: make([]int, k)}
	for t := range a.taps {
		a.taps[t] = t
	}
	return a
}

// inputAxis is the axis of the gradient by the input, for the inputs i with
// i mod stride = phase: they met taps k0, k0+stride, … with k0 = (phase+pad)
// mod stride, the later the tap the earlier the output.
func inputAxis(in, out, k, stride, pad, phase int) convAxis {
	a := convAxis{n: max(0, (in-phase+stride-1)/stride), out0: phase, outStep: stride, inStep: 1, size: out}
	k0 := (phase + pad) % stride
	for t := k0; t < k; t += stride {
		a.taps = append([]int{t}, a.taps...)
	}
	a.in0 = (phase+pad-k0)/stride - len(a.taps) + 1
	return a
}

// convSpan is a run [lo, hi) of outputs that meet the same taps [t0, t1).
type convSpan struct{ lo, hi, t0, t1 int }

func (s convSpan) len() int  { return s.hi - s.lo }
func (s convSpan) taps() int { return s.t1 - s.t0 }

// spans cuts the outputs [lo, hi) into runs.
func (a *convAxis) spans(lo, hi int) []convSpan {
	var out []convSpan
	for i := lo; i < hi; i++ {
		first := a.in0 + i*a.inStep
		s := convSpan{i, i + 1, max(0, -first), min(len(a.taps), a.size-first)}
		if s.t1 <= s.t0 {
			s.t0, s.t1 = 0, 0
		}
		if n := len(out); n > 0 && out[n-1].t0 == s.t0 && out[n-1].t1 == s.t1 {
			out[n-1].hi++
			continue
		}
		out = append(out, s)
	}
	return out
}

// valid returns the outputs of [lo, hi) that meet tap t.
func (a *convAxis) valid(t, lo, hi int) convSpan {
	s := convSpan{lo: hi, hi: lo, t0: t, t1: t + 1}
	for i := lo; i < hi; i++ {
		if x := a.in0 + i*a.inStep + t; x >= 0 && x < a.size {
			s.lo, s.hi = min(s.lo, i), i+1
		}
	}
	if s.hi < s.lo {
		s.hi = s.lo
	}
	return s
}

// in is the input index that output i meets at tap t.
func (a *convAxis) in(i, t int) int { return a.in0 + i*a.inStep + t }

// out is where output i is stored.
func (a *convAxis) out(i int) int { return a.out0 + i*a.outStep }

// convPass is a pass over an image: all outputs, or those of one phase of a
// strided gradient.
type convPass struct {
	h, w convAxis
	tap0 int // taps of earlier passes
}

func (p *convPass) tapCount() int { return len(p.h.taps) * len(p.w.taps) }

func (g *window) forwardPasses() []convPass {
	return []convPass{{
		h: forwardAxis(g.h, g.oh, g.kh, g.Stride, g.Pad),
		w: forwardAxis(g.w, g.ow, g.kw, g.Stride, g.Pad),
	}}
}

func (g *window) inputPasses() []convPass {
	var ps []convPass
	taps := 0
	for h := range g.Stride {
		for w := range g.Stride {
			p := convPass{
				h:    inputAxis(g.h, g.oh, g.kh, g.Stride, g.Pad, h),
				w:    inputAxis(g.w, g.ow, g.kw, g.Stride, g.Pad, w),
				tap0: taps,
			}
			taps += p.tapCount()
			ps = append(ps, p)
		}
	}
	return ps
}

// convBox are the pixels h × w, all of which meet the taps of both spans.
type convBox struct{ h, w convSpan }

// byClass cuts rows [lo, hi) of the outputs into classes of equal taps.
func (ps *convPass) byClass(lo, hi int) (boxes []convBox) {
	for _, h := range ps.h.spans(lo, hi) {
		for _, w := range ps.w.spans(0, ps.w.n) {
			if h.taps() > 0 && w.taps() > 0 {
				boxes = append(boxes, convBox{h, w})
			}
		}
	}
	return boxes
}

// byTap returns for every tap the outputs of rows [lo, hi) that meet it.
func (ps *convPass) byTap(lo, hi int) (boxes []convBox) {
	for t := range ps.h.taps {
		for u := range ps.w.taps {
			b := convBox{ps.h.valid(t, lo, hi), ps.w.valid(u, 0, ps.w.n)}
			if b.h.len() > 0 && b.w.len() > 0 {
				boxes = append(boxes, b)
			}
		}
	}
	return boxes
}

// depthwise tells whether every channel is a group of its own.
func (g *window) depthwise() bool { return g.Groups > 1 && g.cg == 1 && g.kg == 1 }

// convBlock is a block of up to 16 channels of one group.
type convBlock struct {
	width int // 16, 8 or 4
	n     int // channels, ≤ width
	in    int // first channel of the group on the other side; depthwise: of the block
	out   int // first channel
}

// lanes is the number of channels in the block's last vector.
func (b *convBlock) lanes() int { return b.n - max(0, b.width-8) }

// masked tells whether some lanes of the last vector do not exist.
func (b *convBlock) masked() bool { return b.n < b.width }

// maxRows is the number of pixels or rows of the largest kernel of a width.
func maxRows(width int) int {
	if width == 16 {
		return 6
	}
	return 8
}

// channelBlocks cuts the `out` channels of every group into blocks of widths
// that cut gives for what is left.
func channelBlocks(groups, in, out int, cut func(left int) int) []convBlock {
	var bs []convBlock
	for g := range groups {
		for k := 0; k < out; {
			b := convBlock{width: cut(out - k), in: g * in, out: g*out + k}
			b.n = min(b.width, out-k)
			bs = append(bs, b)
			k += b.n
		}
	}
	return bs
}

// tileWidths are for tiles: twelve are quicker as eight and four.
func tileWidths(left int) int {
	switch {
	case left > 12:
		return 16
	case left > 4:
		return 8
	}
	return 4
}

// gradWidths are for weight gradients, whose kernels of 8 lanes are slower and
// which have none of 4.
func gradWidths(left int) int {
	if left > 8 {
		return 16
	}
	return 8
}

// depthBlocks are blocks of the channels of a depthwise convolution; only
// those of 8 may have lanes that do not exist.
func depthBlocks(channels int) []convBlock {
	bs := channelBlocks(1, 0, channels, func(left int) int {
		if left >= 16 {
			return 16
		}
		return 8
	})
	for i := range bs {
		bs[i].in = bs[i].out
	}
	return bs
}

// even cuts n into runs of at most most, as equal as possible, and calls f
// for each.
func even(n, most int, f func(lo, hi int)) {
	k := (n + most - 1) / most
	for i := range k {
		f(i*n/k, (i+1)*n/k)
	}
}
