package chart

import (
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

func line(ys ...float64) []Point {
	ps := make([]Point, len(ys))
	for i, y := range ys {
		ps[i] = At(float64(i), y)
	}
	return ps
}

// wellFormed parses a drawing and checks that each number in it is finite.
func wellFormed(t *testing.T, svg string) {
	t.Helper()
	in := xml.NewDecoder(strings.NewReader(svg))
	for {
		token, err := in.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("not well-formed: %v\n%s", err, svg)
		}
		e, ok := token.(xml.StartElement)
		if !ok {
			continue
		}
		for _, a := range e.Attr {
			if slices.Contains([]string{"x", "y", "cx", "cy", "width", "height"}, a.Name.Local) {
				if v, err := strconv.ParseFloat(a.Value, 64); err != nil || math.IsNaN(v) || math.Abs(v) > 1e5 {
					t.Errorf("<%s %s=%q>", e.Name.Local, a.Name.Local, a.Value)
				}
			}
			if a.Name.Local == "d" && strings.ContainsAny(a.Value, "Nn") {
				t.Errorf("path %q", a.Value)
			}
		}
	}
}

func TestGolden(t *testing.T) {
	c := Chart{ID: "loss", Title: "loss against step", X: Axis{Label: "step", Unit: Whole, Zero: true}, Y: Axis{Unit: Plain},
		Lines: []Line{
			{Name: "training", Class: "c1 train", Points: []Point{{0, 2, 1.5, 2.5}, {10, 1, 0.75, 1.5}, {20, math.NaN(), 0, 0}, {30, 0.5, 0.25, 1}, {40, 0.5, 0.5, 0.5}}, Band: true},
			{Name: "width", Class: "d1", Points: line(1, 2)[:2], Steps: true, Fill: true, End: "s1: 2"},
		},
		Marks: []Mark{{X: 10, Class: "grow", Text: "grown"}, {X: 10.01, Class: "grow", Text: "same place"}, {X: 400, Class: "grow", Text: "outside"}}}
	got := strings.ReplaceAll(c.SVG(), "><", ">\n<") + "\n"
	wellFormed(t, got)
	path := filepath.Join("testdata", "chart.svg")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; run with -update to make it", err)
	}
	if got != string(want) {
		t.Errorf("the drawing differs from %s:\n%s", path, got)
	}
}

func TestAnyValuesMakeAWellFormedDrawing(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	for name, ps := range map[string][]Point{
		"none":            nil,
		"a single one":    line(3),
		"equal ones":      line(5, 5, 5),
		"zeros":           line(0, 0, 0),
		"no number":       line(nan, nan),
		"with gaps":       line(1, nan, 2, inf, -inf, 3),
		"largest":         line(math.MaxFloat64, -math.MaxFloat64, 1),
		"smallest":        line(5e-324, 0),
		"near each other": line(1, math.Nextafter(1, 2)),
		"negative":        line(-3, -2),
		"far apart":       line(1e-29, 1e29),
		"x not finite":    {At(nan, 1), At(inf, 2), At(1, 3)},
	} {
		for _, axis := range []Axis{{}, {Log: true}, {Zero: true}, {Unit: Seconds}, {Unit: Percent, Floor: new(0.5)}, {Unit: Whole}, {Unit: Flops, Log: true, Floor: new(-1.0)}} {
			c := Chart{ID: "a", Title: name, X: axis, Y: axis, Lines: []Line{{Name: name, Points: ps, Band: true, Fill: true, Dots: true, End: "end"}, {Points: ps, Steps: true}},
				Marks: []Mark{{X: 1}, {X: nan}}}
			t.Run(fmt.Sprintf("%s %+v", name, axis), func(t *testing.T) { wellFormed(t, c.SVG()) })
		}
	}
}

func TestNamesAreEscaped(t *testing.T) {
	evil := `"/><script>alert(1)</script>&`
	c := Chart{ID: evil, Title: evil, X: Axis{Label: evil}, Lines: []Line{{Name: evil, Class: evil, End: evil, Points: line(1, 2)}}, Marks: []Mark{{X: 1, Class: evil, Text: evil}}}
	svg := c.SVG()
	wellFormed(t, svg)
	if strings.Contains(svg, "<script") {
		t.Errorf("a name became markup:\n%s", svg)
	}
}

func TestGapsCutALine(t *testing.T) {
	c := Chart{Lines: []Line{{Points: line(1, 2, math.NaN(), 3, 4, math.Inf(1), 5)}}}
	svg := c.SVG()
	if got := strings.Count(svg, `class="stroke"`); got != 3 {
		t.Errorf("%d pieces, want 3", got)
	}
	if !strings.Contains(svg, `data-x="0 1 3 4 6" data-y="1 2 3 4 5"`) {
		t.Errorf("the values under the pointer are not the finite ones:\n%s", svg)
	}
	if n, first := c.NotFinite(); n != 2 || first != 2 {
		t.Errorf("NotFinite = %d, %g, want 2, 2", n, first)
	}
}

func TestEmpty(t *testing.T) {
	for want, ps := range map[bool][]Point{true: line(math.NaN()), false: line(math.NaN(), 1)} {
		c := Chart{Lines: []Line{{Points: ps}}}
		if c.Empty() != want {
			t.Errorf("Empty of %v = %v", ps, !want)
		}
	}
}

func TestThin(t *testing.T) {
	nan := math.NaN()
	tests := []struct {
		name string
		in   []Point
		n    int
		want []Point
	}{
		{"nothing", nil, 3, nil},
		{"few stay as they are", line(1, 2, 3), 3, line(1, 2, 3)},
		{"means with their range", line(9, 1, 3, 5, 7, 8), 4, []Point{At(0, 9), {1.5, 2, 1, 3}, {3.5, 6, 5, 7}, At(5, 8)}},
		{"values that are not finite do not count", line(9, 1, nan, nan, nan, 8), 4, []Point{At(0, 9), {1.5, 1, 1, 1}, {3.5, nan, nan, nan}, At(5, 8)}},
		{"thinned twice keeps the range", []Point{At(0, 0), {1, 2, -5, 3}, {2, 4, 3, 50}, At(3, 0)}, 3, []Point{At(0, 0), {1.5, 3, -5, 50}, At(3, 0)}},
	}
	for _, tt := range tests {
		if got := Thin(tt.in, tt.n); fmt.Sprint(got) != fmt.Sprint(tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestThinLosesNoSpike(t *testing.T) {
	for spike := range 1000 {
		ps := line(make([]float64, 1000)...)
		ps[spike] = At(float64(spike), 100)
		got := Thin(ps, 17)
		if len(got) > 17 {
			t.Fatalf("%d points, want at most 17", len(got))
		}
		top := 0.0
		for i, p := range got {
			top = max(top, p.Hi)
			if i > 0 && p.X <= got[i-1].X {
				t.Fatalf("points %d and %d are not in order", i-1, i)
			}
		}
		if top != 100 {
			t.Fatalf("the spike at %d is lost", spike)
		}
	}
}

func TestTicks(t *testing.T) {
	tests := []struct {
		name   string
		lo, hi float64
		unit   Unit
		log    bool
		want   string
	}{
		{"plain", 0, 1, Plain, false, "0 0.2 0.4 0.6 0.8 1"},
		{"negative", -1, 1, Plain, false, "−1 −0.5 0 0.5 1"},
		{"small", 0, 0.0004, Plain, false, "0 0.0001 0.0002 0.0003 0.0004"},
		{"tiny", 0, 4e-6, Plain, false, "0 1e-6 2e-6 3e-6 4e-6"},
		{"steps", 0, 2400, Whole, false, "0 500 1,000 1,500 2,000"},
		{"few steps", 0, 2, Whole, false, "0 1 2"},
		{"many parameters", 0, 5e6, Whole, false, "0 1 M 2 M 3 M 4 M 5 M"},
		{"accuracy", 0.92, 1, Percent, false, "92 % 94 % 96 % 98 % 100 %"},
		{"seconds", 0, 50, Seconds, false, "0 10 s 20 s 30 s 40 s 50 s"},
		{"minutes", 0, 500, Seconds, false, "0 2 min 4 min 6 min 8 min"},
		{"hours", 0, 7 * 3600, Seconds, false, "0 2 h 4 h 6 h"},
		{"days", 0, 5 * 86400, Seconds, false, "0 1 d 2 d 3 d 4 d 5 d"},
		{"parts of a second", 0, 0.5, Seconds, false, "0 0.1 s 0.2 s 0.3 s 0.4 s 0.5 s"},
		{"work", 0, 2.2e12, Flops, false, "0 500 G 1 T 1.5 T 2 T"},
		{"one decade", 0.5, 5, Plain, true, "0.5 1 2 5"},
		{"three decades", 0.004, 3, Plain, true, "0.005 0.01 0.02 0.05 0.1 0.2 0.5 1 2"},
		{"many decades", 1e-8, 1e8, Plain, true, "1e-8 1e-6 0.0001 0.01 1 100 10 k 1 M 100 M"},
		{"part of a decade", 2.1, 4.5, Plain, true, "2.5 3 3.5 4 4.5"},
	}
	for _, tt := range tests {
		var got []string
		for _, tick := range Ticks(tt.lo, tt.hi, tt.unit, tt.log, 5) {
			got = append(got, tick.Label)
		}
		if s := strings.Join(got, " "); s != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, s, tt.want)
		}
	}
	for _, r := range [][2]float64{{1, 1}, {2, 1}, {math.NaN(), 1}, {0, math.Inf(1)}} {
		if got := Ticks(r[0], r[1], Plain, false, 5); got != nil {
			t.Errorf("ticks from %g to %g: %v, want none", r[0], r[1], got)
		}
	}
}

func TestScaleMapsItsEnds(t *testing.T) {
	for _, s := range []scale{{min: 2, max: 10, start: 50, end: 250}, {min: 0.1, max: 100, start: 200, end: 10, log: true}} {
		for v, want := range map[float64]float64{s.min: s.start, s.max: s.end} {
			if got, ok := s.at(v); !ok || math.Abs(got-want) > 1e-9 {
				t.Errorf("%+v: %g is at %g, %v, want %g", s, v, got, ok, want)
			}
		}
	}
	if got, ok := (scale{min: 0.1, max: 10, end: 100, log: true}).at(1); !ok || math.Abs(got-50) > 1e-9 {
		t.Errorf("the middle of two decades is at %g, want 50", got)
	}
}

func TestSpread(t *testing.T) {
	tests := []struct {
		name     string
		in, want []float64
	}{
		{"far apart stay", []float64{10, 50, 90}, []float64{10, 50, 90}},
		{"sorted", []float64{90, 10}, []float64{10, 90}},
		{"pushed down", []float64{50, 52}, []float64{50, 64}},
		{"pushed up from the bottom", []float64{98, 99}, []float64{86, 100}},
		{"pushed down from the top", []float64{-5, 0}, []float64{0, 14}},
	}
	for _, tt := range tests {
		ls := make([]label, len(tt.in))
		for i, y := range tt.in {
			ls[i].y = y
		}
		spread(ls, 0, 100)
		got := make([]float64, len(ls))
		for i, l := range ls {
			got[i] = l.y
		}
		if !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}
