package cpu

import (
	"sync"

	"github.com/espalier-ml/espalier/kernels"
	"github.com/espalier-ml/espalier/kernels/vec"
)

// convWeight lowers the gradient by the weights: sums of each part of the
// images, folded in order; or, with many weights and few pixels, panels of
// all images and sums of each block of channels.
func (l *lowering) convWeight(o *kernels.ConvWeight) []stage {
	g := windowOf(o.X, o.DW, o.DY, o.Conv)
	switch {
	case !g.fits():
		return nil
	case g.winogradWeights():
		return l.convWeightWinograd(o, newWinoGradPlan(&g))
	case g.Groups > 1 && !g.depthwise() && min(g.cg, g.kg) < 16: // less than a line of a pixel
		return l.convWeightGroups(o, newGroupGradPlan(l.d, g))
	case g.wantsPanels():
		return l.convWeightPanels(o, newPanelPlan(g))
	}
	p := l.d.gradPlan(g)
	x, dy := l.ref(o.X), l.ref(o.DY)
	size, parts := o.DW.Len(), batchParts(g.n)
	tmp := l.temp("conv-weight sums", size*parts)
	sums := l.ref(tmp)
	return []stage{{
		name: "conv-weight", reads: []*kernels.Tensor{o.X, o.DY}, writes: []*kernels.Tensor{tmp},
		images: g.n, bytes: 4 * (g.h*g.w*g.c + g.oh*g.ow*g.k),
		batch: func(_ *worker, part, lo, hi int) {
			sum := sums.f[part*size:][:size]
			if first, _ := partRange(g.n, part); lo == first {
				clear(sum)
			}
			p.run(x.f, dy.f, sum, lo, hi)
		},
	}, l.convWeightFold(o, tmp, parts, p.turned)}
}

// gradPlans keeps plans, which many layers share and which every program of
// a network asks for twice: for its schedule and to be compiled.
type gradPlans struct {
	sync.Mutex
	of map[window]*gradPlan
}

// manyPlans is more than a network has.
const manyPlans = 64

func (d *Device) gradPlan(g window) *gradPlan {
	d.plans.Lock()
	defer d.plans.Unlock()
	p := d.plans.of[g]
	if p == nil {
		if len(d.plans.of) >= manyPlans || d.plans.of == nil {
			d.plans.of = map[window]*gradPlan{}
		}
		p = newGradPlan(g)
		d.plans.of[g] = p
	}
	return p
}

// convWeightFold adds the parts of the sums in order, on top of DW with Acc.
func (l *lowering) convWeightFold(o *kernels.ConvWeight, tmp *kernels.Tensor, parts int, turned bool) stage {
	sums, dw := l.ref(tmp), l.ref(o.DW)
	size, k := o.DW.Len(), o.DW.Dim(3)
	reads := []*kernels.Tensor{tmp}
	if o.Acc {
		reads = append(reads, o.DW)
	}
	cuts := max(1, min(16, size/8192))
	const chunk = 2048
	l.local(chunk)
	return stage{
		name: "conv-weight fold", reads: reads, writes: []*kernels.Tensor{o.DW}, parts: cuts,
		run: func(w *worker, cut int) {
			lo, hi := cut*size/cuts, (cut+1)*size/cuts
			for ; lo < hi; lo += chunk {
				n := min(chunk, hi-lo)
				sum := w.floats(n)
				copy(sum, sums.f[lo:])
				for p := 1; p < parts; p++ {
					vec.AddTo(sum, sums.f[p*size+lo:][:n])
				}
				switch d := dw.f[lo : lo+n]; {
				case turned:
					unturn(dw.f, sum, lo, k, o.Acc)
				case o.Acc:
					vec.AddTo(d, sum)
				default:
					copy(d, sum)
				}
			}
		},
	}
}

// unturn writes elements lo… of a gradient [K][rows] to their places in
// [rows][K].
func unturn(dw, sum []float32, lo, k int, acc bool) {
	rows := len(dw) / k
	row, col := lo%rows, lo/rows
	for _, v := range sum {
		if acc {
			v += dw[row*k+col]
		}
		dw[row*k+col] = v
		if row++; row == rows {
			row, col = 0, col+1
		}
	}
}
