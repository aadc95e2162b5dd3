package cpu

import (
	"maps"
	"slices"
	"testing"
)

func TestAxisSpans(t *testing.T) {
	for _, c := range []struct {
		name string
		axis convAxis
		want []convSpan
	}{
		{"3 taps, padded by 1", forwardAxis(5, 5, 3, 1, 1), []convSpan{{0, 1, 1, 3}, {1, 4, 0, 3}, {4, 5, 0, 2}}},
		{"one pixel", forwardAxis(1, 1, 3, 1, 1), []convSpan{{0, 1, 1, 2}}},
		{"stride 2", forwardAxis(8, 4, 3, 2, 1), []convSpan{{0, 1, 1, 3}, {1, 4, 0, 3}}},
		{"no padding", forwardAxis(6, 4, 3, 1, 0), []convSpan{{0, 4, 0, 3}}},
		{"only padding at the ends", forwardAxis(2, 4, 1, 1, 1), []convSpan{{0, 1, 0, 0}, {1, 3, 0, 1}, {3, 4, 0, 0}}},
		{"gradient, even inputs of stride 2", inputAxis(8, 4, 3, 2, 1, 0), []convSpan{{0, 4, 0, 1}}},
		{"gradient, odd inputs of stride 2", inputAxis(8, 4, 3, 2, 1, 1), []convSpan{{0, 3, 0, 2}, {3, 4, 0, 1}}},
		{"gradient, inputs that no tap met", inputAxis(8, 4, 1, 2, 0, 1), []convSpan{{0, 4, 0, 0}}},
	} {
		if got := c.axis.spans(0, c.axis.n); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// meeting is an input that an output meets at a tap.
type meeting struct{ in, out, tap int }

// The phases of a gradient together hold the same meetings as the forward axis.
func TestInputAxesMirrorForwardAxis(t *testing.T) {
	for in := 1; in < 12; in++ {
		for k := 1; k <= min(in+4, 7); k++ {
			for stride := 1; stride < 4; stride++ {
				for pad := range k {
					if in+2*pad < k {
						continue
					}
					out := (in+2*pad-k)/stride + 1
					want := map[meeting]bool{}
					f := forwardAxis(in, out, k, stride, pad)
					each(&f, func(from, to, tap int) { want[meeting{from, to, tap}] = true })
					got := map[meeting]bool{}
					for phase := range stride {
						a := inputAxis(in, out, k, stride, pad, phase)
						each(&a, func(from, to, tap int) { got[meeting{to, from, tap}] = true })
					}
					if !maps.Equal(got, want) {
						t.Errorf("input %d, window %d, stride %d, pad %d: %v, want %v", in, k, stride, pad, got, want)
					}
				}
			}
		}
	}
}

// each visits what the spans of an axis say.
func each(a *convAxis, f func(from, to, tap int)) {
	for _, s := range a.spans(0, a.n) {
		for i := s.lo; i < s.hi; i++ {
			for t := s.t0; t < s.t1; t++ {
				f(a.in(i, t), a.out(i), a.taps[t])
			}
		}
	}
}

func TestEvenCuts(t *testing.T) {
	var got [][2]int
	even(16, 6, func(lo, hi int) { got = append(got, [2]int{lo, hi}) })
	if want := [][2]int{{0, 5}, {5, 10}, {10, 16}}; !slices.Equal(got, want) {
		t.Errorf("16 in runs of at most 6: %v, want %v", got, want)
	}
}
