package cpu

import "github.com/espalier-ml/espalier/kernels"

func lowerNorm(l *lowering, op kernels.Op) []stage {
	switch o := op.(type) {
	case *kernels.BatchNorm:
		return lowerBatchNorm(l, o)
	case *kernels.BatchNormInfer:
		return lowerBatchNormInfer(l, o)
	case *kernels.BatchNormGrad:
		return lowerBatchNormGrad(l, o)
	case *kernels.LayerNorm:
		return lowerLayerNorm(l, o)
	case *kernels.LayerNormGrad:
		return lowerLayerNormGrad(l, o)
	}
	return nil
}

// bnShape is how batch normalisation cuts a tensor: pixels of c channels are
// taken as one run of floats, summed in rows of `sum` floats and transformed
// in rows of `tile` floats, both multiples of c.
type bnShape struct {
	images, per, c int
	sum, tile      int
}

func newBNShape(x *kernels.Tensor) bnShape {
	c := x.Dim(-1)
	images, per := x.Shape[0], perImage(x)
	if len(x.Shape) == 1 {
		images, per = 1, c
	}
	return bnShape{images: images, per: per, c: c, sum: tileWidth(c, 64), tile: tileWidth(c, 512)}
}

// pixels is the number of values of one channel in a part.
func (s bnShape) pixels(part int) float64 {
	lo, hi := partRange(s.images, part)
	return float64((hi - lo) * s.per / s.c)
}

// sumBlock is the number of floats after which float32 sums are moved to
// float64: at most about 256 additions to each.
func (s bnShape) sumBlock() int { return 1024 * s.sum }

// bnChannels is the number of channels in a part of the private stages
// between the passes.
const bnChannels = 128

func (s bnShape) channelParts() int { return (s.c + bnChannels - 1) / bnChannels }

func (s bnShape) channels(part int) (lo, hi int) {
	return part * bnChannels, min(s.c, (part+1)*bnChannels)
}

// spread sets channel ch of a tile.
func (s bnShape) spread(tile []float32, ch int, v float32) {
	for i := ch; i < s.tile; i += s.c {
		tile[i] = v
	}
}

// pair is the memory of a part's two float64 sums, each one row wide, and of
// the float32 row that they are relative to.
type pair struct {
	first, second []float64
	shift         []float32
}

func (s bnShape) pairSize() int { return (5*s.sum + 15) &^ 15 }

func (s bnShape) pair(mem []float32, part int) pair {
	m := mem[part*s.pairSize():]
	n := 2 * s.sum
	return pair{wide(m[:n]), wide(m[n : 2*n]), m[2*n : 2*n+s.sum]}
}

// totals adds up channel ch over the columns of the rows.
func (s bnShape) totals(p pair, ch int) (first, second float64) {
	for i := ch; i < s.sum; i += s.c {
		first += p.first[i]
		second += p.second[i]
	}
	return first, second
}
