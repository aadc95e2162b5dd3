package cpu

import (
	"math"

	"github.com/espalier-ml/espalier/kernels"
)

// Convolutions are direct, but for those of winograd.go: no halo, no unfolding,
// and taps in the padding are left out instead of multiplied by zero. The
// forward pass and the gradient by the input are one plan (conv_plan.go,
// conv_tile.go) over weights that a private stage packs once a run; the
// gradient by the weights is a plan of its own (conv_grad.go, conv_panel.go).
// Both rest on lists of pixels that meet the same taps (conv_geometry.go), and
// on kernels that take such lists.

func lowerConv(l *lowering, op kernels.Op) []stage {
	switch o := op.(type) {
	case *kernels.Conv2D:
		return l.conv(o)
	case *kernels.ConvInput:
		return l.convInput(o)
	case *kernels.ConvWeight:
		return l.convWeight(o)
	}
	return nil
}

func (l *lowering) conv(o *kernels.Conv2D) []stage {
	g := windowOf(o.X, o.W, o.Y, o.Conv)
	ps := g.forwardPasses()
	if !g.fits() {
		return nil
	}
	taps := passTaps(ps, g.kw)
	pack := func(dst, wt []float32, b *convBlock) { packForward(dst, b, wt, &g, taps) }
	if o.Bias == nil && o.Act == kernels.NoAct && g.winograd(g.c, g.k) {
		return l.winograd("conv", newWinoPlan(g.n, g.h, g.w, g.c, g.k), o.X, o.W, o.Y, pack)
	}
	p := newConvPlan(g.n, g.h, g.w, g.c, g.oh, g.ow, g.k, g.Groups, ps)
	if o.Bias != nil {
		p.flags |= convBias
	}
	if o.Act == kernels.ReLU {
		p.flags |= convReLU
	}
	return l.convStages("conv", p, o.X, o.W, o.Bias, o.Y, pack)
}

func (l *lowering) convInput(o *kernels.ConvInput) []stage {
	g := windowOf(o.DX, o.W, o.DY, o.Conv)
	ps := g.inputPasses()
	if !g.fits() {
		return nil
	}
	taps := passTaps(ps, g.kw)
	pack := func(dst, wt []float32, b *convBlock) { packInput(dst, b, wt, &g, taps) }
	if g.winograd(g.k, g.c) {
		p := newWinoPlan(g.n, g.h, g.w, g.k, g.c)
		p.acc = o.Acc
		return l.winograd("conv-input", p, o.DY, o.W, o.DX, pack)
	}
	p := newConvPlan(g.n, g.oh, g.ow, g.k, g.h, g.w, g.c, g.Groups, ps)
	p.acc = o.Acc
	if p.depthwise {
		pack = func(dst, wt []float32, b *convBlock) { packForward(dst, b, wt, &g, taps) }
	}
	return l.convStages("conv-input", p, o.DY, o.W, nil, o.DX, pack)
}

// fits tells whether an image and the weights can be addressed with 32-bit
// offsets.
func (g *window) fits() bool {
	return 4*max(g.h*g.w*g.c, g.oh*g.ow*g.k, g.kh*g.kw*g.cg*g.k) <= math.MaxInt32/2 && g.n > 0
}

// manyWeights is the number of weights from which reading them all for every
// few pixels would cost too much.
const manyWeights = 256 << 10

// convStages are the stages of a plan: image by image on weights packed
// beforehand or, with many weights and small images, block by block.
func (l *lowering) convStages(name string, p *convPlan, xt, wt, bt, yt *kernels.Tensor, pack packFunc) []stage {
	if wt.Len() >= manyWeights && p.yImage/p.outC <= 32 {
		return []stage{l.convByBlock(name, p, xt, wt, bt, yt, pack)}
	}
	x, wgt, bias, y := l.ref(xt), l.ref(wt), l.ref(bt), l.ref(yt)
	tmp := l.temp(name+" weights", p.wOff[len(p.blocks)]+p.biasLen(bt))
	packed := l.ref(tmp)
	ins := []*kernels.Tensor{xt, tmp}
	if p.acc {
		ins = append(ins, yt)
	}
	return []stage{{
		name: name + " pack", reads: present(wt, bt), writes: []*kernels.Tensor{tmp},
		parts: len(p.blocks),
		run: func(_ *worker, part int) {
			b := &p.blocks[part]
			pack(packed.f[p.wOff[part]:p.wOff[part+1]], wgt.f, b)
			if bt != nil {
				copy(packed.f[p.wOff[len(p.blocks)]+b.out:], bias.f[b.out:b.out+b.n])
			}
		},
	}, {
		name: name, reads: ins, writes: []*kernels.Tensor{yt},
		images: p.images, bytes: 4 * (p.xImage + p.yImage),
		batch: func(_ *worker, _, lo, hi int) {
			w := packed.f[:p.wOff[len(p.blocks)]]
			p.run(x.f, w, packed.f[len(w):], y.f, lo, hi, 0, len(p.blocks))
		},
	}}
}

// packFunc packs the weights of a block.
type packFunc = func(dst, wt []float32, b *convBlock)

// biasLen is the length of a bias padded to whole blocks, 0 without one.
func (p *convPlan) biasLen(bias *kernels.Tensor) int {
	if bias == nil {
		return 0
	}
	last := p.blocks[len(p.blocks)-1]
	return last.out + last.width
}

// convByBlock is one stage of which each part packs the weights of two blocks
// into cache and goes through all images.
func (l *lowering) convByBlock(name string, p *convPlan, xt, wt, bt, yt *kernels.Tensor, pack packFunc) stage {
	const together = 2
	x, wgt, bias, y := l.ref(xt), l.ref(wt), l.ref(bt), l.ref(yt)
	size := 0
	for b := range p.blocks {
		size = max(size, p.wOff[min(b+together, len(p.blocks))]-p.wOff[b])
	}
	padded := p.biasLen(bt)
	l.local(size + padded)
	ins := present(xt, wt, bt)
	if p.acc {
		ins = append(ins, yt)
	}
	return stage{
		name: name, reads: ins, writes: []*kernels.Tensor{yt}, parts: (len(p.blocks) + together - 1) / together,
		run: func(w *worker, part int) {
			b0, b1 := part*together, min(part*together+together, len(p.blocks))
			packed := w.floats(size + padded)
			for b := b0; b < b1; b++ {
				pack(packed[p.wOff[b]-p.wOff[b0]:p.wOff[b+1]-p.wOff[b0]], wgt.f, &p.blocks[b])
			}
			if bt != nil {
				copy(packed[size:], bias.f)
			}
			p.run(x.f, packed, packed[size:], y.f, 0, p.images, b0, b1)
		},
	}
}

// present lists the tensors that are not nil.
func present(ts ...*kernels.Tensor) (out []*kernels.Tensor) {
	for _, t := range ts {
		if t != nil {
			out = append(out, t)
		}
	}
	return out
}
