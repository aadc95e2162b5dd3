package quantize

import "math"

// Activations. SONIQ's PACT form clips to [0, α] and gives every channel the
// precision of its weights; the symmetric form, which the packed kernels
// compute with, has one step a token.

// Clip is PACT's clamp(x, 0, α).
func Clip(x, alpha float64) float64 { return math.Max(0, math.Min(alpha, x)) }

// ClipGrad is what passes of a gradient g of the clipped activation: to x
// where 0 ≤ x ≤ α, to α where x ≥ α.
func ClipGrad(x, alpha, g float64) (dx, dalpha float64) {
	if x >= 0 && x <= alpha {
		dx = g
	}
	if x >= alpha {
		dalpha = g
	}
	return dx, dalpha
}

// Blur is the clipped activation of the noise phase: x̂ + α·σ(s)/2·ε. Its
// derivative by s is α/2·ε·σ(1-σ).
func Blur(clipped, alpha, s, eps float64) float64 { return clipped + alpha*Sigmoid(s)/2*eps }

// BlurSlope is the derivative of Blur by s.
func BlurSlope(alpha, s, eps float64) float64 { return alpha / 2 * eps * Sigmoid(s) * Sigmoid(-s) }

// WholeBits is the precision of a channel's activations: ⌊1 - log₂σ(s)⌋.
func WholeBits(s float64) int { return int(math.Floor(Bits(s))) }

// ClipCode is the code of a clipped activation in [0, 2^p-1], ties to even;
// it stands for α·code/(2^p-1).
func ClipCode(clipped, alpha float64, bits int) int {
	return int(math.RoundToEven(clipped / alpha * float64(int(1)<<bits-1)))
}

// ClipLevel is what a code of ClipCode stands for.
func ClipLevel(code int, alpha float64, bits int) float64 {
	return alpha * float64(code) / float64(int(1)<<bits-1)
}

// Symmetric rounds x to multiples of delta = max|x|/(2^(b-1)-1), ties to even:
// what lowbit.Quantize does in float32.
func Symmetric(x []float64, bits int) (codes []int, delta float64) {
	most := 0.0
	for _, v := range x {
		most = math.Max(most, math.Abs(v))
	}
	largest := float64(int(1)<<(bits-1) - 1)
	delta = most / largest
	codes = make([]int, len(x))
	for i, v := range x {
		if delta > 0 {
			codes[i] = int(math.Max(-largest, math.Min(largest, math.RoundToEven(v/delta))))
		}
	}
	return codes, delta
}
