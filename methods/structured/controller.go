package structured

// Legend: u a sparsity, 1 - cost/(cost of the full network).

// Reference is the sparsity that the controller wants at progress x of the
// run: a line from the seed's to the target within `ramp`.
func Reference(x, seed, target, ramp float64) float64 {
	if x >= ramp {
		return target
	}
	return seed + (target-seed)*x/ramp
}

// Price is λ: κ·(wanted - u), at most 1/2 either way. A network that is too
// sparse pays its components for being there, every one the same: weighted by
// cost, a reward would let the most expensive width take the whole budget, and
// a charge alone would move it to the cheapest.
func Price(gain, wanted, u float64) float64 {
	return min(max(gain*(wanted-u), -0.5), 0.5)
}

// PaperPrice is the published rule, which has no limits.
func PaperPrice(base, target, u float64) float64 { return base * (target - u) }
