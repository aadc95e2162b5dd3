package cpu

// This file packs weights [kh][kw][C/groups][K] for the tile kernels: for every
// block of output channels all taps in the order of the passes, for every tap
// and input channel of the group one row of weights, padded with zeros. Blocks
// of four channels have rows of two input channels by turns.

// packForward packs a block for the convolution itself into dst. A depthwise
// one has one input channel a tap.
func packForward(dst []float32, b *convBlock, wt []float32, g *window, taps []int) {
	for i, tap := range taps {
		out := dst[i*b.steps(g.cg)*b.row():][:b.steps(g.cg)*b.row()]
		from := wt[tap*g.cg*g.k+b.out : (tap+1)*g.cg*g.k]
		switch {
		case b.width == 4:
			packPairs(out, from, g.cg, b.n, g.k, 1)
		case b.n == 16:
			convPack16(addr(out, 0), addr(from, 0), g.cg, 4*g.k)
		default:
			for c := range g.cg {
				row := out[c*b.width:][:b.width]
				clear(row[copy(row, from[c*g.k:][:b.n]):])
			}
		}
	}
}

// packInput packs a block of the input's channels for the gradient by the
// input: rows run over the output channels of the group.
func packInput(dst []float32, b *convBlock, wt []float32, g *window, taps []int) {
	for i, tap := range taps {
		out := dst[i*b.steps(g.kg)*b.row():][:b.steps(g.kg)*b.row()]
		from := wt[(tap*g.cg+b.out%g.cg)*g.k+b.in : (tap+1)*g.cg*g.k]
		if b.width == 4 {
			packPairs(out, from, g.kg, b.n, 1, g.k)
			continue
		}
		if b.masked() {
			clear(out)
		}
		turned := 0 // channels done by blocks of eight
		if n := g.kg / 8; n > 0 {
			for ; turned+8 <= b.n; turned += 8 {
				convTurn8(addr(out, turned), addr(from, turned*g.k), n, 4*g.k, 4*b.width)
			}
		}
		for c := range b.n {
			k := 0
			if c < turned {
				k = g.kg &^ 7
			}
			for ; k < g.kg; k++ {
				out[k*b.width+c] = from[c*g.k+k]
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
