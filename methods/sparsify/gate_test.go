package sparsify

import (
	"math"
	"testing"
)

var someS = []float64{-300, -2, -0.3, -1e-3, -1e-9, 0, 1e-9, 0.02, 0.3, 2, 300}

// Invariant 2: soft gates come near hard ones.
func TestSoftGatesApproachHardOnes(t *testing.T) {
	for _, beta := range []float64{1, 10, 200, 1e4} {
		for _, s := range someS {
			if s == 0 {
				continue // σ(0) is 1/2 at any temperature
			}
			if d, most := math.Abs(Soft(s, beta, 1)-Hard(s, 1)), math.Exp(-beta*math.Abs(s)); d > most+1e-15 {
				t.Errorf("β %v, s %v: soft and hard differ by %v, want at most %v", beta, s, d, most)
			}
		}
	}
}

// Invariant 3: a reset leaves closed gates as they are, raises none above s₀,
// and does nothing at β = 1 to what it has done.
func TestReset(t *testing.T) {
	for _, s0 := range []float64{-0.2, 0, 0.2} {
		for _, beta := range []float64{1, 30, 200} {
			for _, s := range someS {
				now := Reset(s, beta, s0)
				if beta*s <= s0 && Soft(now, 1, 2) != Soft(s, beta, 2) {
					t.Errorf("s₀ %v, β %v: gate of s %v goes from %v to %v", s0, beta, s, Soft(s, beta, 2), Soft(now, 1, 2))
				}
				if now > s0 {
					t.Errorf("s₀ %v, β %v: s %v goes to %v", s0, beta, s, now)
				}
				if again := Reset(now, 1, s0); again != now {
					t.Errorf("s₀ %v: a second reset takes %v to %v", s0, now, again)
				}
			}
		}
	}
}

// Invariants 4 and 5: the slope against central differences and against the
// form with G; without a gradient the penalty alone closes gates.
func TestSlope(t *testing.T) {
	const c, penalty = 1.7, 0.03
	loss := func(s, w, g, beta float64) float64 { return g*w*Soft(s, beta, c) + penalty*Soft(s, beta, c) }
	for _, beta := range []float64{1, 3, 20} {
		for _, s := range []float64{-0.4, -0.01, 0, 0.05, 0.3} {
			for _, w := range []float64{-1.5, 0, 0.2} {
				for _, g := range []float64{-2, 0, 0.7} {
					got := Slope(s, w, Soft(s, beta, c)*g, beta, c, penalty)
					h := 1e-5 / beta
					numeric := (loss(s+h, w, g, beta) - loss(s-h, w, g, beta)) / (2 * h)
					if math.Abs(got-numeric) > 1e-7*math.Max(1, math.Abs(numeric)) {
						t.Errorf("β %v s %v w %v G %v: slope %v, differences give %v", beta, s, w, g, got, numeric)
					}
					direct := c * beta * Sigmoid(beta*s) * Sigmoid(-beta*s) * (w*g + penalty)
					if math.Abs(got-direct) > 1e-12*math.Max(1, math.Abs(direct)) {
						t.Errorf("β %v s %v w %v G %v: slope %v, directly %v", beta, s, w, g, got, direct)
					}
					if g == 0 && got <= 0 {
						t.Errorf("β %v s %v: the penalty's slope is %v, want more than 0", beta, s, got)
					}
				}
			}
		}
	}
}

func TestSigmoidIsStable(t *testing.T) {
	for _, c := range []struct{ z, want float64 }{
		{0, 0.5}, {math.Inf(1), 1}, {math.Inf(-1), 0}, {800, 1}, {-700, math.Exp(-700)}, {-1e4, 0}, {1e4, 1},
	} {
		if got := Sigmoid(c.z); got != c.want {
			t.Errorf("σ(%v) = %v, want %v", c.z, got, c.want)
		}
	}
}
