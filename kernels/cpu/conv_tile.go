package cpu

import "unsafe"

// This file runs a convPlan.

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
