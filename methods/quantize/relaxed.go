package quantize

import (
	"math"

	"github.com/espalier-ml/espalier/kernels/philox"
)

// The arithmetic of the noise phase. Legend: s the precision variable of an
// input channel, σ(s) its relaxed half-step, p = 1 - log₂σ(s) its relaxed
// bits, M the scale of a row of weights (one output), ε uniform in (-1, 1).

// Sigmoid is 1/(1+e^-s), without overflow on either side.
func Sigmoid(s float64) float64 {
	if s >= 0 {
		return 1 / (1 + math.Exp(-s))
	}
	e := math.Exp(s)
	return e / (1 + e)
}

// Softplus is log₂(1+e^-s) = p(s) - 1, the bits that a channel pays for.
func Softplus(s float64) float64 {
	if s < 0 {
		return (-s + math.Log1p(math.Exp(s))) / math.Ln2
	}
	return math.Log1p(math.Exp(-s)) / math.Ln2
}

// Bits is the relaxed precision 1 - log₂σ(s), above 1.
func Bits(s float64) float64 { return 1 + Softplus(s) }

// Variable is the s whose relaxed precision is p > 1: -ln(2^(p-1) - 1).
func Variable(p float64) float64 { return -math.Log(math.Expm1((p - 1) * math.Ln2)) }

// Price is the derivative of Softplus: -(1-σ)/ln 2, always negative, so that
// descent removes bits.
func Price(s float64) float64 { return -Sigmoid(-s) / math.Ln2 }

// Noise says how large the noise of training is.
type Noise string

// Kinds of noise.
const (
	// NoiseCalibrated is half a step of the quantizer that will be deployed:
	// (M/2)·σ(s), M the row's own scale.
	NoiseCalibrated Noise = "calibrated"
	// NoiseSMOL is σ(s), as published: half a step on the grid over [-2, 2].
	NoiseSMOL Noise = "smol"
)

// base is what σ(s) is multiplied by.
func (n Noise) base(scale float64) float64 {
	if n == NoiseSMOL {
		return 1
	}
	return scale / 2
}

// Amplitude is the half-width of the noise on weights of a channel with
// variable s in a row of scale M.
func (n Noise) Amplitude(s, scale float64) float64 { return n.base(scale) * Sigmoid(s) }

// Slope is the derivative of the loss by s, where sum is Σ base·ε·dL/dW̃ over
// the weights of the channel; base is taken for a constant.
func Slope(s, sum float64) float64 { return Sigmoid(s) * Sigmoid(-s) * sum }

// Limit is the largest magnitude of weights of a channel: 2 - σ(s), the
// outermost level of a p-bit number on [-2, 2].
func Limit(s float64) float64 { return 2 - Sigmoid(s) }

// Uniform maps a random word to (-1, 1).
func Uniform(u uint32) float64 { return (float64(u)+0.5)/(1<<31) - 1 }

// noiseKey is the stream of a weight's noise; entry e takes word e%4 at counter
// (e/4, 0, step). It knows nothing of ranks and shards.
func noiseKey(seed uint64, weight string) philox.Key {
	return philox.NewKey(seed, "quantize/"+weight)
}

// Adam is one update of a variable by Adam with its usual constants and no
// decay, after t updates before it (Kingma and Ba, arXiv 1412.6980).
func Adam(s, mean, square, g, rate float64, t uint64) (s1, mean1, square1 float64) {
	const beta1, beta2, eps = 0.9, 0.999, 1e-8
	mean = beta1*mean + (1-beta1)*g
	square = beta2*square + (1-beta2)*g*g
	n := float64(t + 1)
	m, v := mean/(1-math.Pow(beta1, n)), square/(1-math.Pow(beta2, n))
	return s - rate*m/(math.Sqrt(v)+eps), mean, square
}
