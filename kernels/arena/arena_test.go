package arena

import (
	"testing"

	"github.com/espalier-ml/espalier/kernels/philox"
)

// Random lifetimes: blocks that live at once never overlap, and the whole
// stays near the peak of what lives at once.
func TestLiveBlocksStayApart(t *testing.T) {
	for seed := range uint64(50) {
		key := philox.NewKey(seed, "arena")
		draw := func(i, n int) int { return philox.Below(key.Index(uint64(i))[0], n) }
		var blocks []*Block
		for i := range 80 {
			first := draw(3*i, 30)
			blocks = append(blocks, &Block{Bytes: draw(3*i+1, 40000), First: first, Last: first + draw(3*i+2, 6)})
		}
		size, peak := Plan(blocks), 0
		for group := range 40 {
			live := 0
			for i, a := range blocks {
				if a.First > group || a.Last < group {
					continue
				}
				live += a.footprint()
				if a.Off%Align != 0 || a.Off < 0 || a.Off+a.Bytes > size {
					t.Fatalf("seed %d: block at %d+%d of %d", seed, a.Off, a.Bytes, size)
				}
				for _, b := range blocks[:i] {
					if a.meets(b) && a.Off < b.Off+b.Bytes && b.Off < a.Off+a.Bytes {
						t.Fatalf("seed %d: [%d,%d) and [%d,%d) overlap", seed, a.Off, a.Off+a.Bytes, b.Off, b.Off+b.Bytes)
					}
				}
			}
			peak = max(peak, live)
		}
		if float64(size) > 1.4*float64(peak) {
			t.Errorf("seed %d: %d bytes for a peak of %d", seed, size, peak)
		}
	}
}

func TestNothingNeedsNothing(t *testing.T) {
	if n := Plan(nil); n != 0 {
		t.Errorf("no blocks take %d bytes", n)
	}
}
