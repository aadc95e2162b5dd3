package quantize

import (
	"cmp"
	"math"
	"slices"
)

// From relaxed to whole bits.

// Normal is m = clip(max|W|, 1e-6, 1), by which SMOL relates the noise to the
// scale of the weights; calibrated noise has that done already, m = 1.
func Normal(scale float64) float64 { return math.Max(1e-6, math.Min(1, scale)) }

// Relaxed is the precision pf = 1 - log₂(σ(s)/m) of a channel.
func Relaxed(s, m float64) float64 { return Bits(s) + math.Log2(m) }

// Floor is SMOL's rule: max(1, ⌊pf⌋).
func Floor(pf float64) int { return max(1, int(math.Floor(pf))) }

// Published421 is SySMOL's rule: 4 bits above `high` (3, in its accurate form
// 2), else 2 above 1.5, else 1.
func Published421(pf, high float64) int {
	switch {
	case pf > high:
		return 4
	case pf > 1.5:
		return 2
	}
	return 1
}

// Levels are the precisions of a layer's channels: one or two.
type Levels struct {
	Lo, Hi int   // Hi is 0 where all channels have Lo bits
	High   []int // channels of Hi bits, rising
	Perm   []int // channels of Hi bits, then those of Lo bits, each rising
}

// Of is the precision of every channel.
func (l Levels) Of() []int {
	p := make([]int, len(l.Perm))
	for i := range p {
		p[i] = l.Lo
	}
	for _, c := range l.High {
		p[c] = l.Hi
	}
	return p
}

// Mean is the mean precision of the channels.
func (l Levels) Mean() float64 {
	return (float64(l.Hi*len(l.High)) + float64(l.Lo*(len(l.Perm)-len(l.High)))) / float64(len(l.Perm))
}

// TwoLevels chooses the levels of a layer: one of 1, 2 and 4 bits for most
// channels and one of 4 and 8 bits for those that need more; channels of the
// higher one come in multiples of `group`, or are all, so that kernels work on
// whole vectors. Channels are only promoted, most needy first, ties to the
// lower index. Of all ways the one with the least bits, then the larger lower
// level, then one level, then the larger higher level.
func TwoLevels(pf []float64, group int) Levels {
	whole := make([]int, len(pf))
	for c, p := range pf {
		whole[c] = max(1, min(8, int(math.Floor(p))))
	}
	order := byNeed(pf)
	best, bits := Levels{}, math.MaxInt
	consider := func(l Levels, total int) {
		if total < bits {
			best, bits = l, total
		}
	}
	most := slices.Max(whole)
	for _, lo := range []int{4, 2, 1} { // in the order of preference
		if most <= lo {
			consider(Levels{Lo: lo}, lo*len(pf))
			continue
		}
		for _, hi := range []int{8, 4} {
			if hi <= lo || most > hi {
				continue
			}
			n := 0
			for _, w := range whole {
				if w > lo {
					n++
				}
			}
			n = min((n+group-1)/group*group, len(pf))
			consider(Levels{Lo: lo, Hi: hi, High: order[:n:n]}, hi*n+lo*(len(pf)-n))
		}
	}
	best.High = slices.Sorted(slices.Values(best.High))
	best.Perm = permutation(best.High, len(pf))
	return best
}

// byNeed orders channels by falling pf.
func byNeed(pf []float64) []int {
	order := make([]int, len(pf))
	for c := range order {
		order[c] = c
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(pf[b], pf[a]) })
	return order
}

// permutation lists the high channels, then all others of n.
func permutation(high []int, n int) []int {
	perm, next := slices.Clone(high), 0
	for c := range n {
		if next < len(high) && high[next] == c {
			next++
			continue
		}
		perm = append(perm, c)
	}
	return perm
}
