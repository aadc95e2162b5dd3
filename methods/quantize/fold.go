package quantize

import "math"

// Fold is batch norm at evaluation as y = factor·x + shift, for one channel.
func Fold(gamma, beta, mean, variance, eps float64) (factor, shift float64) {
	factor = gamma / math.Sqrt(variance+eps)
	return factor, beta - mean*factor
}

// Output is what a packed layer gives for one row and token: the sums of both
// groups of channels times their scales, the token's step and the row's bias.
// Every product and sum is rounded by itself, so that all machines agree.
func Output(dotHi, dotLo int32, scaleHi, scaleLo, delta, bias float64) float64 {
	hi := float64(float64(dotHi) * scaleHi)
	lo := float64(float64(dotLo) * scaleLo)
	return float64(float64(hi+lo)*delta) + bias
}
