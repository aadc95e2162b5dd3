package cpu

// This file packs weights [kh][kw][C/groups][K] for the tile kernels: for every
// block of output channels all taps in the order of the passes, for every tap
// and input channel of the group one row of weights, padded with zeros. Blocks
// of four channels have rows of two input channels by turns.

// packForward packs block b for the convolution itself. A depthwise one has
// one input channel a tap.
func (p *convPlan) packForward(dst []float32, b int, wt []float32, g *window, taps []int) {
	blk := &p.blocks[b]
	i := p.wOff[b]
	for _, tap := range taps {
		from := wt[tap*g.cg*g.k+blk.out:]
		if blk.width == 4 {
			packPairs(dst[i:i+8*blk.steps(g.cg)], from, g.cg, blk.n, g.k, 1)
			i += 8 * blk.steps(g.cg)
			continue
		}
		for c := range g.cg {
			row := dst[i : i+blk.width]
			clear(row[copy(row, from[c*g.k:][:blk.n]):])
			i += blk.width
		}
	}
}

// packInput packs block b of the input's channels for the gradient by the
// input: rows run over the output channels of the group.
func (p *convPlan) packInput(dst []float32, b int, wt []float32, g *window, taps []int) {
	blk := &p.blocks[b]
	i := p.wOff[b]
	for _, tap := range taps {
		from := wt[(tap*g.cg+blk.out%g.cg)*g.k+blk.in:]
		out := dst[i : i+blk.steps(g.kg)*blk.row()]
		i += len(out)
		if blk.width == 4 {
			packPairs(out, from, g.kg, blk.n, 1, g.k)
			continue
		}
		if blk.masked() {
			clear(out)
		}
		for c := range blk.n {
			row := from[c*g.k:][:g.kg]
			for k, v := range row {
				out[k*blk.width+c] = v
			}
		}
	}
}

// packPairs packs rows of four channels by two values: channel c of value v
// stands at src[v·step+c·channel].
func packPairs(dst, src []float32, values, channels, step, channel int) {
	clear(dst)
	for v := range values {
		for c := range channels {
			dst[v/2*8+2*c+v%2] = src[v*step+c*channel]
		}
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
