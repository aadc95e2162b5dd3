package data

import (
	"math"
	"slices"
	"strings"
	"testing"
)

// Counts of classes as optdigits.names states them.
func TestOptdigitsEqualTheirDescription(t *testing.T) {
	d, err := Open("optdigits", "")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		im   *Images
		want []int
	}{
		{d.Images.Train, []int{376, 389, 380, 389, 387, 376, 377, 387, 380, 382}},
		{d.Images.Test, []int{178, 182, 177, 183, 181, 182, 181, 179, 174, 180}},
	} {
		if err := c.im.Validate(); err != nil {
			t.Error(err)
		}
		count := make([]int, 10)
		for _, l := range c.im.Label {
			count[l]++
		}
		if !slices.Equal(count, c.want) {
			t.Errorf("%s: classes %v, want %v", c.im.Name, count, c.want)
		}
		if top := slices.Max(c.im.Pix); top != 16 {
			t.Errorf("%s: brightest count %d", c.im.Name, top)
		}
	}
	// The first row of optdigits.tra.
	if first := d.Images.Train.Pix[:8]; !slices.Equal(first, []byte{0, 1, 6, 15, 12, 1, 0, 0}) || d.Images.Train.Label[0] != 0 {
		t.Errorf("first row %v, digit %d", first, d.Images.Train.Label[0])
	}
	if d.Classes() != 10 || d.Note != "" {
		t.Errorf("%d classes, note %q", d.Classes(), d.Note)
	}
}

func TestNormalisedTrainingImagesAreStandard(t *testing.T) {
	d, err := Open("optdigits", "")
	if err != nil {
		t.Fatal(err)
	}
	src, err := d.Training(Options{Seed: 3})
	if err != nil {
		t.Fatal(err)
	}
	b := NewBatch(src.Row(), src.Samples())
	if err := src.Fill(b, Request{N: src.Samples()}); err != nil {
		t.Fatal(err)
	}
	var s, q float64
	for _, x := range b.X {
		s += float64(x)
		q += float64(x) * float64(x)
	}
	n := float64(len(b.X))
	if mean, variance := s/n, q/n; math.Abs(mean) > 1e-5 || math.Abs(variance-1) > 1e-5 {
		t.Errorf("mean %v, mean square %v, want 0 and 1", mean, variance)
	}
}

func TestReadDigits(t *testing.T) {
	row := strings.Repeat("16,", 64) + "9\n"
	for _, c := range []struct{ name, in, want string }{
		{"good", row + row, ""},
		{"no last line break", row + row[:len(row)-1], ""},
		{"row missing", row, "1 rows, want 2"},
		{"row too many", row + row + row, "more than the 2 rows wanted"},
		{"number missing", row + row[3:], "row 2: 64 numbers, want 65"},
		{"count too high", row + "17" + row[2:], "row 2: number 1: count 17, want 0 to 16"},
		{"no count", row + "-1" + row[2:], `row 2: number 1: "-1" is no count`},
		{"digit", row + strings.Repeat("0,", 64) + "10\n", "row 2: digit 10, want 0 to 9"},
		{"endless line", row + strings.Repeat("1", 1<<17), "after row 1: bufio.Scanner: token too long"},
	} {
		_, err := readDigits(strings.NewReader(c.in), 2)
		if c.want == "" && err != nil || c.want != "" && (err == nil || err.Error() != c.want) {
			t.Errorf("%s: error %v, want %q", c.name, err, c.want)
		}
	}
}
