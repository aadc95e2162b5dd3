package joint

import (
	"github.com/espalier-ml/espalier/methods/quantize"
	"github.com/espalier-ml/espalier/methods/sparsify"
)

// Variable is the relaxed variable of a channel. Legend: β the temperature, k
// the share to which the channel is there, p its relaxed bits, c the value of
// an open gate, base·ε the noise before its amplitude, G the gradient by what
// the network computes with, which is
//
//	W̃ = k·(c·W + σ(s)·base·ε)
type Variable struct {
	Gate      float64 // s₀
	Precision float64 // s
}

// Present is k = σ(βs₀).
func (v Variable) Present(beta float64) float64 { return sparsify.Soft(v.Gate, beta, 1) }

// Open reports whether the channel is there in the limit β → ∞.
func (v Variable) Open() bool { return sparsify.Hard(v.Gate, 1) > 0 }

// Bits is what a weight of the channel takes: k·p.
func (v Variable) Bits(beta float64) float64 { return v.Present(beta) * quantize.Bits(v.Precision) }

// Price is the gradient of Bits.
func (v Variable) Price(beta float64) Variable {
	return Variable{
		Gate:      v.swing(beta) * quantize.Bits(v.Precision),
		Precision: v.Present(beta) * quantize.Price(v.Precision),
	}
}

// Slope is the gradient of the loss, where value is Σ c·W·G and noise is
// Σ base·ε·G over the weights of the channel; base counts as a constant.
func (v Variable) Slope(beta, value, noise float64) Variable {
	return Variable{
		Gate:      v.swing(beta) * (value + quantize.Sigmoid(v.Precision)*noise),
		Precision: v.Present(beta) * quantize.Slope(v.Precision, noise),
	}
}

// swing is the derivative of Present: β·k·(1-k).
func (v Variable) swing(beta float64) float64 {
	return beta * sparsify.Sigmoid(beta*v.Gate) * sparsify.Sigmoid(-beta*v.Gate)
}

// Palette is what becomes of the channels of one weight: 0 bits where the gate
// is closed, two levels for the others, chosen by quantize.TwoLevels with
// `group` channels at a time.
func Palette(channels []Variable, group int) []int {
	var open []int
	var need []float64
	for c, v := range channels {
		if v.Open() {
			open, need = append(open, c), append(need, quantize.Relaxed(v.Precision, 1))
		}
	}
	bits := make([]int, len(channels))
	if len(open) == 0 {
		return bits
	}
	for i, b := range quantize.TwoLevels(need, group).Of() {
		bits[open[i]] = b
	}
	return bits
}
