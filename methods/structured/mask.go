package structured

import (
	"math"

	"github.com/espalier-ml/espalier/kernels/philox"
)

// The arithmetic of one component. Legend: s its mask variable, β its
// temperature (it acts as an inverse one), q whether it was sampled, μ = q·σ(βs)
// its mask, D the gradient of the loss by μ, λ the price of a component at
// present, the same for all.

// Sigmoid is 1/(1+e^-z), without overflow on either side.
func Sigmoid(z float64) float64 {
	if z >= 0 {
		return 1 / (1 + math.Exp(-z))
	}
	e := math.Exp(z)
	return e / (1 + e)
}

// Slope is dσ(βs)/ds.
func Slope(s, beta float64) float64 {
	p := Sigmoid(beta * s)
	return beta * p * (1 - p)
}

// Gradient is that of s: βσ'(βs)·(q·D + λ). Components that were not sampled
// feel the price alone.
func Gradient(s, beta float64, sampled bool, d, price float64) float64 {
	if !sampled {
		d = 0
	}
	return Slope(s, beta) * (d + price)
}

// Temperature is β of a component that was sampled t times in a run of T
// queries that ends at `last`: last^(t/T), between 1 and last.
func Temperature(t, queries int, last float64) float64 {
	return math.Pow(last, float64(min(t, queries))/float64(max(queries, 1)))
}

// Hardened is the least temperature at progress x of the run: it rises from 1
// at `from` to last at `to`, and is 1 before.
func Hardened(x, from, to, last float64) float64 {
	switch {
	case x < from:
		return 1
	case x >= to:
		return last
	}
	return math.Pow(last, (x-from)/(to-from))
}

// Descend is one step of the mask variables' SGD, in place.
func Descend(s, m *float32, gradient, rate, momentum, decay float64) {
	v := momentum*float64(*m) + gradient + decay*float64(*s)
	*m = float32(v)
	*s = float32(float64(*s) - rate*v)
}

// Sampled reports whether a component of probability p is active: its uniform
// number, 53 bits that depend on seed, query and component alone, is below p.
func Sampled(p float64, seed uint64, query, component int) bool {
	w := philox.NewKey(seed, "structured/query").With(uint64(query)).Index(uint64(component))
	return (uint64(w[0])<<32|uint64(w[1]))>>11 < uint64(p*(1<<53))
}
