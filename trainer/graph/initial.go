package graph

import (
	"math"

	"github.com/espalier-ml/espalier/kernels/philox"
)

// Initial draws the parameter's first values into dst, which has one element
// an entry in row-major order. An entry's value depends on the run's seed, the
// parameter's name and the entry's indices alone, not on the parameter's
// current size apart from the scale.
func (p *Param) Initial(seed uint64, dst []float32) {
	switch p.Init {
	case InitZero:
		clear(dst)
		return
	case InitOne, InitConst:
		v := float32(1)
		if p.Init == InitConst {
			v = p.Gain
		}
		for i := range dst {
			dst[i] = v
		}
		return
	case InitOrtho:
		p.Draw(philox.NewKey(seed, "init/"+p.Name), 1, dst)
		orthogonalize(dst, p.Axes[0].Size())
		return
	}
	p.Draw(philox.NewKey(seed, "init/"+p.Name), p.Std(), dst)
}

// orthogonalize replaces a matrix of the given number of rows by its
// orthogonal factor.
func orthogonalize(m []float32, rows int) {
	x := make([]float64, len(m))
	for i, v := range m {
		x[i] = float64(v)
	}
	Orthogonal(x, rows)
	for i, v := range x {
		m[i] = float32(v)
	}
}

// Orthogonal replaces a row-major matrix by the factor Q of its QR
// decomposition with a positive diagonal of R, by that of its transpose if it
// has more columns than rows: its columns, or else its rows, become
// orthonormal (Saxe et al., arXiv 1312.6120). The matrix must have full rank.
func Orthogonal(m []float64, rows int) {
	cols := len(m) / rows
	n, length, step, next := cols, rows, cols, 1 // vectors are columns
	if cols > rows {
		n, length, step, next = rows, cols, 1, cols
	}
	at := func(v, i int) *float64 { return &m[v*next+i*step] }
	dot := func(a, b int) (sum float64) {
		for i := range length {
			sum += *at(a, i) * *at(b, i)
		}
		return sum
	}
	for v := range n {
		for range 2 { // once more removes what rounding has left
			for u := range v {
				along := dot(u, v)
				for i := range length {
					*at(v, i) -= along * *at(u, i)
				}
			}
		}
		norm := math.Sqrt(dot(v, v))
		for i := range length {
			*at(v, i) /= norm
		}
	}
}

// Std is the standard deviation of the parameter's entries at its current
// size; 0 for constant initial values.
func (p *Param) Std() float64 {
	gain := float64(p.Gain)
	switch p.Init {
	case InitFanIn:
		return gain / math.Sqrt(float64(p.FanIn()))
	case InitOut:
		return gain / float64(p.FanIn())
	case InitStd:
		return gain
	}
	return 0
}

// Draw fills dst with normal numbers of the given deviation. Entry (…, i, j)
// takes number j%4 at counter (i, j/4, rest), where j runs over the last
// axis, i over the one before and rest over all others.
func (p *Param) Draw(key philox.Key, std float64, dst []float32) {
	cols := p.Axes[len(p.Axes)-1].Size()
	in := 1
	if len(p.Axes) > 1 {
		in = p.Axes[len(p.Axes)-2].Size()
	}
	for r := 0; r*cols < len(dst); r++ {
		key.Normal(philox.Counter{uint32(r % in), 0, uint32(r / in)}, float32(std), dst[r*cols:][:cols])
	}
}

// Embed calls f for every entry of old with its place in the same parameter
// of a grown network: equal indices on every axis, counted in units of the
// axis's Dim.
func Embed(old, grown *Param, f func(from, to int)) {
	places := make([][]int, len(old.Axes)) // of old indices on each axis of grown
	for i, a := range old.Axes {
		places[i] = a.places(grown.Axes[i])
	}
	var walk func(axis, from, to int)
	walk = func(axis, from, to int) {
		if axis == len(places) {
			f(from, to)
			return
		}
		n, m := len(places[axis]), grown.Axes[axis].Size()
		for i, p := range places[axis] {
			walk(axis+1, from*n+i, to*m+p)
		}
	}
	walk(0, 0, 0)
}

// places lists where the entries of a stand on the same axis after growth.
func (a Axis) places(grown Axis) []int {
	p := make([]int, a.Size())
	if a.Dim == nil {
		for i := range p {
			p[i] = i
		}
		return p
	}
	n, m := a.Dim.Size(), grown.Dim.Size()
	for i := range p {
		inner, unit, outer := i%a.Inner, i/a.Inner%n, i/a.Inner/n
		p[i] = (outer*m+unit)*a.Inner + inner
	}
	return p
}
