package sparsify

import "math"

// The arithmetic of one gate. Legend: w a weight, s its soft-mask parameter,
// β the temperature (it acts as an inverse one), c the value of an open gate,
// λ the penalty, G the gradient of the loss by the effective weight w·gate.

// Sigmoid is 1/(1+e^-z), without overflow on either side.
func Sigmoid(z float64) float64 {
	if z >= 0 {
		return 1 / (1 + math.Exp(-z))
	}
	e := math.Exp(z)
	return e / (1 + e)
}

// Soft is the gate c·σ(βs) of a round.
func Soft(s, beta, c float64) float64 { return c * Sigmoid(beta*s) }

// Hard is its limit for β → ∞: c where s > 0, else 0. A gate whose s is 0 is
// closed.
func Hard(s, c float64) float64 {
	if s > 0 {
		return c
	}
	return 0
}

// Reset is s at the start of the next round, when β goes back to 1: min(βs, s₀).
// Closed gates stay as closed as they are, since σ(1·βs) = σ(β·s); open ones
// begin again.
func Reset(s, beta, s0 float64) float64 { return math.Min(beta*s, s0) }

// Slope is the derivative of loss and penalty by s:
//
//	∂/∂s = c·β·σ(βs)·σ(-βs)·(w·G + λ)
//
// made from the weight's own gradient dw = gate·G, before weight decay, and
// the gate: β·σ(-βs)·(w·dw + λ·gate). So the gradient of s needs no
// communication where that of w has been summed.
func Slope(s, w, dw, beta, c, penalty float64) float64 {
	return beta * Sigmoid(-beta*s) * (w*dw + penalty*Soft(s, beta, c))
}

// Temperature is β at place i of n in a round that ends with the given
// temperature: final^(i/(n-1)), 1 at the first place.
func Temperature(final float64, i, n int) float64 {
	if i == 0 || n < 2 {
		return 1
	}
	return math.Pow(final, float64(i)/float64(n-1))
}
