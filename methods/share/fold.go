package share

import (
	"math"

	"gonum.org/v1/gonum/mat"
)

// Folded says which layers of a group become one. Clusters are numbered by
// their first layer.
type Folded struct {
	Cluster        []int       // of each layer
	Representative [][]float64 // row of coefficients of each cluster
	Scale          []float64   // of each layer: its weight is Scale times its cluster's; may be negative
	Error          []float64   // of each layer: |α - Scale·Representative| / |α|
}

// Fold merges the layers of a group whose similarity reaches tau, directly or
// through others. A cluster's direction is the leading right singular vector
// of its rows; its first layer has scale 1. With tau above 1 nothing merges
// and nothing changes.
func Fold(alpha [][]float64, tau float64) Folded {
	f := Folded{Cluster: components(Similarity(alpha), tau), Scale: make([]float64, len(alpha)), Error: make([]float64, len(alpha))}
	for c := 0; ; c++ {
		var members []int
		for l, x := range f.Cluster {
			if x == c {
				members = append(members, l)
			}
		}
		if len(members) == 0 {
			return f
		}
		f.merge(alpha, members)
	}
}

// merge makes one cluster of the members, in rising order.
func (f *Folded) merge(alpha [][]float64, members []int) {
	first := alpha[members[0]]
	if len(members) == 1 {
		f.Representative = append(f.Representative, append([]float64(nil), first...))
		f.Scale[members[0]] = 1
		return
	}
	u := leading(alpha, members)
	along := dot(first, u)
	r := make([]float64, len(u))
	for k := range u {
		r[k] = u[k] * along
	}
	f.Representative = append(f.Representative, r)
	for _, l := range members {
		scale := 1.0
		if along != 0 && l != members[0] {
			scale = dot(alpha[l], u) / along
		}
		off := 0.0
		for k, a := range alpha[l] {
			off += (a - scale*r[k]) * (a - scale*r[k])
		}
		f.Scale[l] = scale
		if norm := dot(alpha[l], alpha[l]); norm > 0 {
			f.Error[l] = math.Sqrt(off / norm)
		}
	}
}

// leading is the right singular vector of the members' rows with the largest
// singular value.
func leading(alpha [][]float64, members []int) []float64 {
	k := len(alpha[0])
	m := mat.NewDense(len(members), k, nil)
	for i, l := range members {
		m.SetRow(i, alpha[l])
	}
	var svd mat.SVD
	if !svd.Factorize(m, mat.SVDThin) {
		return directions([][]float64{alpha[members[0]]})[0]
	}
	var v mat.Dense
	svd.VTo(&v)
	u := make([]float64, k)
	for i := range u {
		u[i] = v.At(i, 0)
	}
	return u
}

// components numbers the connected components of the graph S_ij >= tau.
func components(s [][]float64, tau float64) []int {
	id := make([]int, len(s))
	for i := range id {
		id[i] = -1
	}
	n := 0
	var visit func(i int)
	visit = func(i int) {
		id[i] = n
		for j := range s {
			if j != i && id[j] < 0 && s[i][j] >= tau {
				visit(j)
			}
		}
	}
	for i := range id {
		if id[i] < 0 {
			visit(i)
			n++
		}
	}
	return id
}
