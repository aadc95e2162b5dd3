package cpu

// This file packs weights [kh][kw][C/groups][K] for the tile kernels: for every
// block of output channels all taps in the order of the passes, for every tap
// and input channel of the group one row of width floats, padded with zeros.

// packForward packs block b for the convolution itself. A depthwise one has
// one input channel a tap.
func (p *convPlan) packForward(dst []float32, b int, wt []float32, g *window, taps []int) {
	blk := &p.blocks[b]
	i := p.wOff[b]
	for _, tap := range taps {
		for c := range g.cg {
			row := dst[i : i+blk.width]
			clear(row[copy(row, wt[(tap*g.cg+c)*g.k+blk.out:][:blk.n]):])
			i += blk.width
		}
	}
}

// packInput packs block b of the input's channels for the gradient by the
// input: rows run over the output channels of the group.
func (p *convPlan) packInput(dst []float32, b int, wt []float32, g *window, taps []int) {
	blk := &p.blocks[b]
	i := p.wOff[b]
	c0 := blk.out % g.cg
	for _, tap := range taps {
		out := dst[i : i+g.kg*blk.width]
		if blk.n < blk.width {
			clear(out)
		}
		for c := range blk.n {
			row := wt[(tap*g.cg+c0+c)*g.k+blk.in:][:g.kg]
			for k, v := range row {
				out[k*blk.width+c] = v
			}
		}
		i += len(out)
	}
}

// passTaps lists the weight index kh·KW+kw of every tap of the passes.
func passTaps(ps []convPass, kw int) (taps []int) {
	for i := range ps {
		for _, h := range ps[i].h.taps {
			for _, w := range ps[i].w.taps {
				taps = append(taps, h*kw+w)
			}
		}
	}
	return taps
}
