package grow

import (
	"slices"
	"testing"
)

func TestWidths(t *testing.T) {
	for _, c := range []struct {
		full, n       int
		start, growth float64
		want          []int
	}{
		{64, 9, 0.25, 0.2, []int{16, 20, 24, 28, 34, 40, 48, 58, 64}}, // the paper's
		{64, 1, 0.25, 0.2, []int{64}},
		{64, 2, 0.25, 0.2, []int{16, 64}},
		{64, 4, 0.5, 0.01, []int{32, 34, 36, 64}}, // a stage adds at least 2
		{64, 5, 0.5, 1, []int{32, 64, 64, 64, 64}},
	} {
		if got := Widths(c.full, c.n, c.start, c.growth); !slices.Equal(got, c.want) {
			t.Errorf("Widths(%d, %d, %v, %v) = %v, want %v", c.full, c.n, c.start, c.growth, got, c.want)
		}
	}
}

func TestMultipliers(t *testing.T) {
	want := []float64{.25, .3125, .375, .4375, .53125, .625, .75, .90625, 1}
	if got := Multipliers(9, 0.25, 0.2); !slices.Equal(got, want) {
		t.Errorf("multipliers %v, want %v", got, want)
	}
}

func TestDimSizes(t *testing.T) {
	m := Multipliers(9, 0.25, 0.2)
	for _, c := range []struct {
		name string
		full int
		want []int
	}{
		{"reference", 64, []int{16, 20, 24, 28, 34, 40, 48, 58, 64}},
		{"narrow", 16, []int{4, 6, 6, 8, 10, 10, 12, 16, 16}},
		{"heads", 8, []int{2, 4, 4, 4, 6, 6, 6, 8, 8}},
		{"two pairs", 4, []int{2, 2, 2, 2, 4, 4, 4, 4, 4}},
		{"odd", 7, []int{2, 4, 4, 4, 4, 6, 6, 6, 7}},
		{"not to be cut", 3, []int{3, 3, 3, 3, 3, 3, 3, 3, 3}},
		{"one", 1, []int{1, 1, 1, 1, 1, 1, 1, 1, 1}},
	} {
		if got := DimSizes(c.full, m); !slices.Equal(got, c.want) {
			t.Errorf("%s: sizes of %d are %v, want %v", c.name, c.full, got, c.want)
		}
	}
	for full := 4; full < 600; full++ {
		s := DimSizes(full, m)
		if !slices.IsSorted(s) || s[0] < 2 || s[len(s)-1] != full {
			t.Errorf("sizes of %d: %v: want rising to %d", full, s, full)
		}
		for _, v := range s[:len(s)-1] {
			if v%2 != 0 {
				t.Errorf("sizes of %d: %v: want even before the last", full, s)
			}
		}
	}
}

func TestStageEpochs(t *testing.T) {
	for _, c := range []struct {
		total, first, growth float64
		n                    int
		want                 []float64
	}{
		{160, 8, 0.2, 9, []float64{8, 10, 12, 14, 17, 20, 24, 29, 26}},
		{200, 10, 0.2, 9, []float64{10, 12, 14, 17, 20, 24, 29, 35, 39}},
		{90, 4, 0.2, 9, []float64{4, 5, 6, 7, 8, 10, 12, 14, 24}},
		{30, 5, 0, 4, []float64{5, 5, 5, 15}}, // p_t = 0
		{10, 0.5, 1, 4, []float64{0.5, 1, 2, 6.5}},
		{10, 0, 0, 5, []float64{2, 2, 2, 2, 2}}, // the last gets a fifth
		{7, 0, 0.2, 1, []float64{7}},
		{7, 3, 0.2, 1, []float64{7}},
	} {
		if got := StageEpochs(c.total, c.first, c.growth, c.n); !slices.Equal(got, c.want) {
			t.Errorf("StageEpochs(%v, %v, %v, %d) = %v, want %v", c.total, c.first, c.growth, c.n, got, c.want)
		}
	}
	// Left to choose, the first stage comes out close to the published ones.
	if first := StageEpochs(200, 0, 0.2, 9)[0]; first < 9.5 || first > 10.5 {
		t.Errorf("first of 200 epochs: %v, the paper has 10", first)
	}
}

func TestBatches(t *testing.T) {
	want := []int{552, 460, 383, 319, 266, 222, 185, 154, 128}
	if got := Batches(128, 0.2, 9); !slices.Equal(got, want) {
		t.Errorf("batches %v, want %v", got, want)
	}
	if got := Batches(96, 0, 3); !slices.Equal(got, []int{96, 96, 96}) {
		t.Errorf("batches %v without growth, want 96", got)
	}
}
