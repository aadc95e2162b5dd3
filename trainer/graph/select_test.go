package graph

import (
	"slices"
	"testing"

	"github.com/espalier-ml/espalier/kernels"
)

// lstmWeight is [H, 4·H], the axes of one Dim.
func lstmWeight(h int) *Param {
	d := &Dim{Name: "h", Full: 8, Bounds: []int{h}}
	return &Param{ParamSpec: Weight(d.Axis(), Axis{Dim: d, Outer: 4, Inner: 1}), W: kernels.New("w", kernels.F32, h, 4*h)}
}

func TestSelect(t *testing.T) {
	for _, c := range []struct {
		name     string
		old, now int
		units    Units
	}{
		{"pruned", 4, 2, Units{"h": {3, 1}}},
		{"pruned and grown", 3, 4, Units{"h": {2, -1, 0, -1}}},
		{"grown by prefix", 2, 3, nil},
		{"shrunk by prefix", 3, 2, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			old, now := lstmWeight(c.old), lstmWeight(c.now)
			from := make([]int, c.now*4*c.now)
			for i := range from {
				from[i] = -1
			}
			Select(old, now, c.units, func(i, j int) { from[j] = i })
			source := func(u int) int {
				if c.units != nil {
					return c.units["h"][u]
				}
				if u >= c.old {
					return -1
				}
				return u
			}
			for in := range c.now {
				for gate := range 4 {
					for out := range c.now {
						want := -1
						if a, b := source(in), source(out); a >= 0 && b >= 0 {
							want = a*4*c.old + gate*c.old + b
						}
						if got := from[in*4*c.now+gate*c.now+out]; got != want {
							t.Errorf("entry (%d, gate %d, %d) comes from %d, want %d", in, gate, out, got, want)
						}
					}
				}
			}
		})
	}
}

// TestSelectIsEmbed: without a list, growth by prefix.
func TestSelectIsEmbed(t *testing.T) {
	old, now := lstmWeight(2), lstmWeight(5)
	var a, b []int
	Embed(old, now, func(i, j int) { a = append(a, i, j) })
	Select(old, now, nil, func(i, j int) { b = append(b, i, j) })
	if !slices.Equal(a, b) {
		t.Errorf("Embed gives %v, Select %v", a, b)
	}
}
