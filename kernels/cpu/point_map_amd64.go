package cpu

import "github.com/espalier-ml/espalier/kernels"

// channelRun says that channels [y, y+n) of the output are [x, x+n) of the input.
type channelRun struct{ y, x, n int }

func channelRuns(m []int32) []channelRun {
	var runs []channelRun
	for k, c := range m {
		last := len(runs) - 1
		switch {
		case c < 0:
		case last >= 0 && runs[last].y+runs[last].n == k && runs[last].x+runs[last].n == int(c):
			runs[last].n++
		default:
			runs = append(runs, channelRun{k, int(c), 1})
		}
	}
	return runs
}

// channelMap is the geometry of a ChannelMap: x [h,w,c] to y [oh,ow,k].
type channelMap struct {
	stride, w, c, oh, ow, k int
	perX, perY              int
	runs                    []channelRun
	covered                 bool // every channel of y comes from x
}

func newChannelMap(x, y *kernels.Tensor, stride int, m []int32) channelMap {
	g := channelMap{stride: stride, w: x.Dim(2), c: x.Dim(3), oh: y.Dim(1), ow: y.Dim(2), k: y.Dim(3),
		perX: perImage(x), perY: perImage(y), runs: channelRuns(m), covered: true}
	for _, c := range m {
		g.covered = g.covered && c >= 0
	}
	return g
}

// each calls f for every run of channels in every output row of an image,
// with the places of its first elements.
func (g *channelMap) each(image int, f func(y, x, n int)) {
	for h := range g.oh {
		for _, r := range g.runs {
			f(image*g.perY+h*g.ow*g.k+r.y, image*g.perX+h*g.stride*g.w*g.c+r.x, r.n)
		}
	}
}

// spans returns the numbers of elements from the first to the last of a run's
// row in y and x.
func (g *channelMap) spans(n int) (y, x int) {
	return (g.ow-1)*g.k + n, (g.ow-1)*g.stride*g.c + n
}

func lowerChannelMap(l *lowering, o *kernels.ChannelMap) []stage {
	g := newChannelMap(o.X, o.Y, o.Stride, o.Map)
	x, y := l.ref(o.X), l.ref(o.Y)
	return []stage{{
		name: "channel map", images: o.X.Dim(0), bytes: 4 * (g.perX + g.perY),
		batch: func(_ *worker, _, lo, hi int) {
			if !g.covered {
				clear(y.f[lo*g.perY : hi*g.perY])
			}
			for i := lo; i < hi; i++ {
				g.each(i, func(dst, src, n int) {
					ny, nx := g.spans(n)
					copyRows(ptr(y.f[dst:dst+ny]), ptr(x.f[src:src+nx]), n, g.ow, g.k, g.stride*g.c)
				})
			}
		},
	}}
}

func lowerChannelMapGrad(l *lowering, o *kernels.ChannelMapGrad) []stage {
	g := newChannelMap(o.DX, o.DY, o.Stride, o.Map)
	dx, dy := l.ref(o.DX), l.ref(o.DY)
	kernel := copyRows
	if o.Acc {
		kernel = addRows
	}
	return []stage{{
		name: "channel map gradient", images: o.DX.Dim(0), bytes: 4 * (g.perX + g.perY),
		batch: func(_ *worker, _, lo, hi int) {
			if !o.Acc {
				clear(dx.f[lo*g.perX : hi*g.perX])
			}
			for i := lo; i < hi; i++ {
				g.each(i, func(src, dst, n int) {
					ny, nx := g.spans(n)
					kernel(ptr(dx.f[dst:dst+nx]), ptr(dy.f[src:src+ny]), n, g.ow, g.stride*g.c, g.k)
				})
			}
		},
	}}
}
