package cpu

import (
	"github.com/espalier-ml/espalier/kernels"
	"github.com/espalier-ml/espalier/kernels/vec"
)

// groupGradPlan is the gradient by the weights of a convolution in groups. A
// group's channels are a few floats out of every pixel, so they are copied side
// by side first: in place the pixels of an image would meet in few sets of the
// cache, and the taps pass over them again and again.
type groupGradPlan struct {
	window           // of all groups
	one    *gradPlan // of one of them
	x, dy  int       // floats of an image of one
}

func newGroupGradPlan(d *Device, g window) *groupGradPlan {
	one := g
	one.c, one.k, one.Groups = g.cg, g.kg, 1
	return &groupGradPlan{window: g, one: d.gradPlan(one), x: g.h * g.w * g.cg, dy: g.oh * g.ow * g.kg}
}

// size is the number of weights of a group.
func (p *groupGradPlan) size() int { return p.kh * p.kw * p.cg * p.kg }

// scratch is the thread's memory: the images of a group that go together.
func (p *groupGradPlan) scratch() int { return p.one.group * (p.x + p.dy) }

// run adds images [lo, hi) to the sums of every group.
func (p *groupGradPlan) run(scratch, x, dy, sums []float32, lo, hi int) {
	xs, dys := scratch[:p.one.group*p.x], scratch[p.one.group*p.x:]
	for i := lo; i < hi; i += p.one.group {
		n := min(p.one.group, hi-i)
		for g := range p.Groups {
			copyColumns(xs[:n*p.x], p.cg, x[i*p.h*p.w*p.c+g*p.cg:], p.c, p.cg)
			copyColumns(dys[:n*p.dy], p.kg, dy[i*p.oh*p.ow*p.k+g*p.kg:], p.k, p.kg)
			p.one.run(xs, dys, sums[g*p.size():], 0, n)
		}
	}
}

// convWeightGroups are the stages of a plan: sums for each part of the images
// and each group, folded in order group by group.
func (l *lowering) convWeightGroups(o *kernels.ConvWeight, p *groupGradPlan) []stage {
	x, dy, dw := l.ref(o.X), l.ref(o.DY), l.ref(o.DW)
	all, parts := o.DW.Len(), batchParts(p.n)
	tmp := l.temp("conv-weight sums", all*parts)
	sums := l.ref(tmp)
	l.local(max(p.scratch(), p.size()))
	reads := []*kernels.Tensor{tmp}
	if o.Acc {
		reads = append(reads, o.DW)
	}
	return []stage{{
		name: "conv-weight", reads: []*kernels.Tensor{o.X, o.DY}, writes: []*kernels.Tensor{tmp},
		images: p.n, bytes: 4 * (p.h*p.w*p.c + p.oh*p.ow*p.k),
		batch: func(w *worker, part, lo, hi int) {
			sum := sums.f[part*all:][:all]
			if first, _ := partRange(p.n, part); lo == first {
				clear(sum)
			}
			p.run(w.floats(p.scratch()), x.f, dy.f, sum, lo, hi)
		},
	}, {
		name: "conv-weight fold", reads: reads, writes: []*kernels.Tensor{o.DW}, parts: p.Groups,
		run: func(w *worker, g int) {
			sum := w.floats(p.size())
			copy(sum, sums.f[g*p.size():])
			for part := 1; part < parts; part++ {
				vec.AddTo(sum, sums.f[part*all+g*p.size():][:p.size()])
			}
			p.place(dw.f, sum, g, o.Acc)
		},
	}}
}

// place writes the gradient of a group, rows of taps and channels, to its
// columns of dw.
func (p *groupGradPlan) place(dw, sum []float32, g int, acc bool) {
	rows := p.kh * p.kw * p.cg
	rowStep, colStep := p.kg, 1
	if p.one.turned {
		rowStep, colStep = 1, rows
	}
	for r := range rows {
		out := dw[r*p.k+g*p.kg:][:p.kg]
		for k := range out {
			v := sum[r*rowStep+k*colStep]
			if acc {
				v += out[k]
			}
			out[k] = v
		}
	}
}
