package cpu

import (
	"github.com/espalier-ml/espalier/kernels"
	"github.com/espalier-ml/espalier/kernels/lowbit"
	"github.com/espalier-ml/espalier/kernels/philox"
)

// noiseBlock is the number of elements whose noise is made at once.
const noiseBlock = 512

// fakeQuant is the op on every device: package lowbit has the assembly and its
// oracle.
func (l *lowering) fakeQuant(o *kernels.FakeQuant) []stage {
	x, y, mode := l.ref(o.X), l.ref(o.Y), l.ref(o.Mode)
	images := o.X.Dim(0)
	n, row := o.X.Len()/images, o.X.Len()/o.Rows
	l.local(noiseBlock)
	return []stage{{name: "fake quantization", images: images, bytes: 8 * n, batch: func(w *worker, _, lo, hi int) {
		for i := lo * n; i < hi*n; i += row {
			from, to := x.f[i:i+row], y.f[i:i+row]
			switch mode.f[0] {
			case 1:
				blur(w, to, from, lowbit.Delta(from, o.Bits)/2, o.ID, i)
			case 2:
				lowbit.Round(to, from, lowbit.Delta(from, o.Bits), o.Bits)
			default:
				copy(to, from)
			}
		}
	}}}
}

// blur adds half·ε; first is the place of the row's first element.
func blur(w *worker, dst, x []float32, half float32, id uint32, first int) {
	key := philox.NewKey(w.env.Seed, "activation")
	for len(x) > 0 {
		skip := first % 4 // the counter's words before this element
		n := min(len(x), noiseBlock-skip)
		eps := w.floats(noiseBlock)[:skip+n]
		lowbit.Noise(eps, key, philox.Counter{uint32(first / 4), id, uint32(w.env.Shard), uint32(w.env.Step)})
		for i, e := range eps[skip:] {
			dst[i] = x[i] + float32(half*e)
		}
		dst, x, first = dst[n:], x[n:], first+n
	}
}
