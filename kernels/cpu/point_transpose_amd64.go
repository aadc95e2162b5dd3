package cpu

import "github.com/espalier-ml/espalier/kernels"

// transposition is a permutation of axes, y[i] = x[…] with x's last axis at
// place `last` of y. Seen along y's last axis and the one at `last` it is a
// transposition of matrices, 8 by 8 elements at a time.
type transposition struct {
	shape []int // of y
	step  []int // distance in x of neighbours along y's axes
	last  int   // y's axis that is x's last
	acc   bool
}

func newTransposition(o *kernels.Transpose) *transposition {
	t := &transposition{shape: o.Y.Shape, acc: o.Acc}
	for i, axis := range o.Perm {
		_, _, inner := split(o.X.Shape, axis)
		t.step = append(t.step, inner)
		if axis == len(o.Perm)-1 {
			t.last = i
		}
	}
	return t
}

// blocks is the number of pieces that can be moved independently: indices of
// all axes but the two of the matrices.
func (t *transposition) blocks() int {
	n := 1
	for i, d := range t.shape[:len(t.shape)-1] {
		if i != t.last {
			n *= d
		}
	}
	return n
}

// place returns where block b begins in y and x.
func (t *transposition) place(b int) (y, x int) {
	size := t.shape[len(t.shape)-1]
	for i := len(t.shape) - 2; i >= 0; i-- {
		if i != t.last {
			k := b % t.shape[i]
			b /= t.shape[i]
			y += k * size
			x += k * t.step[i]
		}
		size *= t.shape[i]
	}
	return y, x
}

// strip is the number of columns of a matrix that are moved at a time.
const strip = 64

func lowerTranspose(l *lowering, o *kernels.Transpose) []stage {
	t := newTransposition(o)
	x, y := l.ref(o.X), l.ref(o.Y)
	cols := o.Y.Dim(-1)
	strips := (cols + strip - 1) / strip
	pieces := t.blocks() * strips
	each := func(lo, hi int) {
		for i := lo; i < hi; i++ {
			atY, atX := t.place(i / strips)
			j := i % strips * strip
			t.move(y.f[atY:], x.f[atX:], j, min(cols, j+strip))
		}
	}
	if images := t.shape[0]; o.Perm[0] == 0 && len(t.shape) > 2 && images >= fewImages {
		k := pieces / images
		return []stage{{name: "transpose", images: images, bytes: 8 * perImage(o.Y),
			batch: func(_ *worker, _, lo, hi int) { each(lo*k, hi*k) }}}
	}
	parts := max(1, min(64, pieces, o.Y.Len()/partElems))
	return []stage{{name: "transpose", parts: parts, run: func(_ *worker, p int) { each(p*pieces/parts, (p+1)*pieces/parts) }}}
}

// move writes columns [lo, hi) of one matrix, or that part of a row where the
// last axis stays last.
func (t *transposition) move(y, x []float32, lo, hi int) {
	end := len(t.shape) - 1
	if t.last == end {
		if t.acc {
			addInto(ptr(y[lo:hi]), ptr(y[lo:hi]), ptr(x[lo:hi]), hi-lo)
		} else {
			copy(y[lo:hi], x[lo:hi])
		}
		return
	}
	rows, yRow, xCol := t.shape[t.last], 1, t.step[end]
	for _, d := range t.shape[t.last+1:] {
		yRow *= d
	}
	kernel := transpose8
	if t.acc {
		kernel = transpose8Acc
	}
	for i := 0; i < rows; i += 8 {
		for j := lo; j < hi; j += 8 {
			if j+8 <= hi && i+8 <= rows {
				kernel(ptr(y[i*yRow+j:(i+7)*yRow+j+8]), ptr(x[j*xCol+i:(j+7)*xCol+i+8]), yRow, xCol)
			} else {
				t.edge(y, x, yRow, xCol, [2]int{i, min(i+8, rows)}, [2]int{j, min(j+8, hi)})
			}
		}
	}
}

// edge moves less than 8 by 8 elements.
func (t *transposition) edge(y, x []float32, yRow, xCol int, rows, cols [2]int) {
	for r := rows[0]; r < rows[1]; r++ {
		for c := cols[0]; c < cols[1]; c++ {
			v := x[c*xCol+r]
			if t.acc {
				v += y[r*yRow+c]
			}
			y[r*yRow+c] = v
		}
	}
}
