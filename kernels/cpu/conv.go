package cpu

import (
	"math"

	"github.com/espalier-ml/espalier/kernels"
)

// Convolutions are direct: no halo, no unfolding. The forward pass and the
// gradient by the input are one plan (conv_tile.go) over weights that a private
// stage packs once a run; the gradient by the weights is conv_grad.go.

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
	p := newConvPlan(g.n, g.h, g.w, g.c, g.oh, g.ow, g.k, g.Groups, ps)
	if o.Bias != nil {
		p.flags |= convBias
	}
	if o.Act == kernels.ReLU {
		p.flags |= convReLU
	}
	taps := passTaps(ps, g.kw)
	return l.convStages("conv", p, o.X, o.W, o.Bias, o.Y, func(dst, wt []float32, b int) {
		p.packForward(dst, b, wt, &g, taps)
	})
}

func (l *lowering) convInput(o *kernels.ConvInput) []stage {
	g := windowOf(o.DX, o.W, o.DY, o.Conv)
	ps := g.inputPasses()
	if !g.fits() {
		return nil
	}
	p := newConvPlan(g.n, g.oh, g.ow, g.k, g.h, g.w, g.c, g.Groups, ps)
	p.acc = o.Acc
	taps := passTaps(ps, g.kw)
	pack := p.packInput
	if p.depthwise {
		pack = p.packForward
	}
	return l.convStages("conv-input", p, o.DY, o.W, nil, o.DX, func(dst, wt []float32, b int) {
		pack(dst, b, wt, &g, taps)
	})
}

// fits tells whether a group of images can be addressed with 32-bit offsets.
func (g *window) fits() bool {
	return 4*max(g.h*g.w*g.c, g.oh*g.ow*g.k) <= math.MaxInt32/2 && g.n > 0
}

// manyWeights is the number of weights from which reading them all for every
// few pixels would cost too much.
const manyWeights = 256 << 10

// convStages are the stages of a plan: pack, then compute, image by image or,
// with many weights and small images, block by block.
func (l *lowering) convStages(name string, p *convPlan, xt, wt, bt, yt *kernels.Tensor, pack func(dst, wt []float32, b int)) []stage {
	x, wgt, bias, y := l.ref(xt), l.ref(wt), l.ref(bt), l.ref(yt)
	size := p.wOff[len(p.blocks)]
	last := p.blocks[len(p.blocks)-1]
	padded := last.out + last.width // channels
	packedBias := size
	if bt != nil {
		size += padded
	}
	tmp := l.temp(name+" weights", size)
	packed := l.ref(tmp)
	paddedBias := func() []float32 {
		if bt == nil {
			return nil
		}
		return packed.f[packedBias:]
	}
	ins := []*kernels.Tensor{xt, tmp}
	if p.acc {
		ins = append(ins, yt)
	}
	stages := []stage{{
		name: name + " pack", reads: present(wt, bt), writes: []*kernels.Tensor{tmp},
		parts: len(p.blocks),
		run: func(_ *worker, part int) {
			pack(packed.f, wgt.f, part)
			if b := p.blocks[part]; bt != nil {
				copy(packed.f[packedBias+b.out:], bias.f[b.out:b.out+b.n])
			}
		},
	}}
	if wt.Len() >= manyWeights && p.yImage/p.outC <= 32 {
		return append(stages, stage{
			name: name, reads: ins, writes: []*kernels.Tensor{yt}, parts: (len(p.blocks) + 1) / 2,
			run: func(_ *worker, part int) {
				p.run(x.f, packed.f, paddedBias(), y.f, 0, p.images, 2*part, min(2*part+2, len(p.blocks)))
			},
		})
	}
	return append(stages, stage{
		name: name, reads: ins, writes: []*kernels.Tensor{yt},
		images: p.images, bytes: 4 * (p.xImage + p.yImage),
		batch: func(_ *worker, _, lo, hi int) {
			p.run(x.f, packed.f, paddedBias(), y.f, lo, hi, 0, len(p.blocks))
		},
	})
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
