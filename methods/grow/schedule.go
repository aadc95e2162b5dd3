package grow

import "math"

// reference is the width on which the multipliers of all Dims are computed:
// the recurrence stalls on narrow ones (0.2 of 4 rounds to 0).
const reference = 64

// Widths is the recurrence C₀ = start·full, C_t = C_{t-1} + round₂(growth·C_{t-1}),
// C_{n-1} = full, where round₂ is the nearest even integer. A stage adds at
// least 2, and none exceeds full.
func Widths(full, n int, start, growth float64) []int {
	c := make([]int, n)
	for t := range c {
		switch {
		case t == n-1:
			c[t] = full
		case t == 0:
			c[t] = min(max(roundEven(start*float64(full)), 2), full)
		default:
			c[t] = min(c[t-1]+max(roundEven(growth*float64(c[t-1])), 2), full)
		}
	}
	return c
}

// Multipliers are the shares of its full size that every Dim has by stage:
// the widths of the reference over its full width.
func Multipliers(n int, start, growth float64) []float64 {
	m := make([]float64, n)
	for t, c := range Widths(reference, n, start, growth) {
		m[t] = float64(c) / reference
	}
	return m
}

// DimSizes are the sizes of a Dim by stage: the next even number at or above
// multiplier·full, so that a narrow Dim waits in some stages. (Adding at least
// two in every stage instead would raise the cost of ResNet-20 from 55 to 61 %
// of the fixed network's; the published 54.9 % is met without.) An odd full
// size gets its last, unpaired unit in the last stage. A Dim of less than 4
// units cannot be cut in pairs and stays full.
func DimSizes(full int, multipliers []float64) []int {
	s := make([]int, len(multipliers))
	for t, m := range multipliers {
		if full < 4 || t == len(s)-1 {
			s[t] = full
			continue
		}
		s[t] = 2 * int(math.Ceil(m*float64(full)/2-1e-9))
		if t > 0 {
			s[t] = max(s[t], s[t-1])
		}
		s[t] = min(max(s[t], 2), full&^1)
	}
	return s
}

// StageEpochs is the recurrence T₀ = first, T_t = T_{t-1} + round(growth·T_{t-1})
// for all stages but the last, which gets what is left of total. With a
// fractional first nothing is rounded. With first 0, the stages follow the
// same curve such that the last one gets a fifth of the run, which is about
// what the published schedules give it.
func StageEpochs(total, first, growth float64, n int) []float64 {
	const lastShare = 0.2
	e := make([]float64, n)
	exact := func(x float64) float64 { return x }
	round := halfUp
	if first == 0 && n > 1 {
		sum, term := 0.0, 1.0
		for range n - 1 {
			sum += term
			term *= 1 + growth
		}
		first = (1 - lastShare) * total / sum
		round = exact
	} else if first != math.Trunc(first) {
		round = exact
	}
	left := total
	for t := range n - 1 {
		e[t] = first
		left -= first
		first += round(growth * first)
	}
	e[n-1] = left
	return e
}

// Batches is the recurrence B_{n-1} = base, B_{t-1} = B_t + round(growth·B_t):
// small networks take large batches.
func Batches(base int, growth float64, n int) []int {
	b := make([]int, n)
	for t := n - 1; t >= 0; t-- {
		b[t] = base
		base += int(halfUp(growth * float64(base)))
	}
	return b
}

// halfUp is the nearest integer, halves up; products of decimal fractions that
// should be halves count as such.
func halfUp(x float64) float64 { return math.Floor(x + 0.5 + 1e-9) }

// roundEven is the nearest even integer, halves up.
func roundEven(x float64) int { return 2 * int(halfUp(x/2)) }

// roundUp is the next multiple of m.
func roundUp(n, m int) int { return (n + m - 1) / m * m }
