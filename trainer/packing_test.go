package trainer

import (
	"slices"
	"testing"
)

// A bucket comes back as it was but for what is left out, with memory of its
// own for what is sent and in place.
func TestPackedBuckets(t *testing.T) {
	whole := func(lo, hi int) part { return part{lo: lo, hi: hi} }
	some := func(lo, hi int, keep ...bool) part { return part{lo: lo, hi: hi, index: indices(keep)} }
	for _, c := range []struct {
		name  string
		parts []part
		sent  []float32
		back  []float32 // 0 where left out or never written
	}{
		{"all", []part{whole(2, 5)}, []float32{2, 3, 4}, []float32{0, 0, 2, 3, 4, 0, 0, 0, 0, 0}},
		{"some", []part{some(2, 6, true, false, false, true)}, []float32{2, 5}, []float32{0, 0, 2, 0, 0, 5, 0, 0, 0, 0}},
		{"none", []part{some(2, 5, false, false, false)}, nil, make([]float32, 10)},
		{"mixed, with padding", []part{some(1, 3, false, true), whole(4, 6), some(7, 10, true, false, true)},
			[]float32{2, 4, 5, 7, 9}, []float32{0, 0, 2, 0, 4, 5, 0, 7, 0, 9}},
		{"last of all", []part{whole(0, 2), some(4, 8, false, false, false, true)}, []float32{0, 1, 7}, []float32{0, 1, 0, 0, 0, 0, 0, 7, 0, 0}},
	} {
		b := packed{parts: c.parts, n: len(c.sent)}
		dense := []float32{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}
		sent, back := make([]float32, 10), slices.Repeat([]float32{-1}, 10)
		b.collect(sent, dense)
		lo := c.parts[0].lo
		if got := sent[lo : lo+b.n]; !slices.Equal(got, c.sent) {
			t.Errorf("%s: sent %v, want %v", c.name, got, c.sent)
		}
		b.spread(back, sent)
		b.collect(dense, dense)
		b.spread(dense, dense)
		for _, p := range c.parts {
			if got, want := back[p.lo:p.hi], c.back[p.lo:p.hi]; !slices.Equal(got, want) {
				t.Errorf("%s: %v came back, want %v", c.name, got, want)
			}
			if got, want := dense[p.lo:p.hi], c.back[p.lo:p.hi]; !slices.Equal(got, want) {
				t.Errorf("%s: %v came back in place, want %v", c.name, got, want)
			}
		}
	}
}
