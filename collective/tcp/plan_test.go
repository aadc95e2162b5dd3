package tcp

import (
	"fmt"
	"testing"
)

// Parts tile the buffer, segments tile parts, numbers name segments.
func TestPlan(t *testing.T) {
	const segment = 32 << 10
	check := func(t *testing.T, p plan, world int) {
		next, seen := 0, map[int]bool{}
		for r := range world {
			lo, hi := p.bounds(r)
			if lo != next || hi < lo || hi > lo+p.part {
				t.Fatalf("%+v: part %d is [%d,%d), want from %d", p, r, lo, hi, next)
			}
			for s := range p.segments(r) {
				lo, hi := p.span(r, s)
				if lo != next || hi <= lo || hi-lo > segment {
					t.Fatalf("%+v: segment %d of part %d is [%d,%d), want from %d", p, s, r, lo, hi, next)
				}
				n := p.number(r, s)
				r2, s2, ok := p.locate(n, world)
				if r2 != r || s2 != s || !ok || seen[n] {
					t.Fatalf("%+v: segment %d of part %d has number %d, which is %d of %d (%v)", p, s, r, n, s2, r2, ok)
				}
				seen[n], next = true, hi
			}
			if next != hi {
				t.Fatalf("%+v: segments of part %d end at %d, want %d", p, r, next, hi)
			}
		}
		if next != p.total {
			t.Fatalf("%+v: parts end at %d, want %d", p, next, p.total)
		}
		for n := range p.each*world + 3 {
			if _, _, ok := p.locate(n, world); ok != seen[n] {
				t.Fatalf("%+v: locate(%d) = %v, want %v", p, n, ok, seen[n])
			}
		}
	}
	for world := 1; world <= 9; world++ {
		for _, total := range []int{0, 4, 128, 132, 4096, 40004, 1 << 20, 1<<20 + 12} {
			t.Run(fmt.Sprintf("world=%d/total=%d", world, total), func(t *testing.T) {
				check(t, share(total, world, segment), world)
				check(t, cut(total, total*world, segment), world)
			})
		}
	}
}
