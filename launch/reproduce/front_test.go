package reproduce

import (
	"context"
	"encoding/xml"
	"io"
	"slices"
	"strings"
	"testing"
)

func TestFront(t *testing.T) {
	for _, c := range []struct {
		name   string
		points []Point
		lower  bool
		want   []bool
	}{
		{"alone", []Point{{"a", 1, 1}}, false, []bool{true}},
		{"dearer and better", []Point{{"a", 1, 1}, {"b", 2, 2}}, false, []bool{true, true}},
		{"dearer and worse", []Point{{"a", 1, 2}, {"b", 2, 1}}, false, []bool{true, false}},
		{"dearer and as good", []Point{{"a", 1, 2}, {"b", 2, 2}}, false, []bool{true, false}},
		{"equal", []Point{{"a", 1, 2}, {"b", 1, 2}}, false, []bool{true, true}},
		{"a loss", []Point{{"a", 1, 2}, {"b", 2, 1}, {"c", 3, 1.5}}, true, []bool{true, true, false}},
	} {
		if got := Front(c.points, c.lower); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// Ordinary networks have the bytes of their parameters and no other measure.
func TestFrontOfAResult(t *testing.T) {
	e := Experiment{Name: "f", Title: "F <", Claim: "C", Seeds: 2, Front: []string{"bytes", "flops"},
		Arms: []Arm{{"float32", "a", nil}, {"cheap", "b", nil}, {"bad", "c", nil}}}
	res, err := Run(context.Background(), e, func(_ context.Context, j Job) (Outcome, error) {
		acc := map[string]float64{"a": 0.98, "b": 0.97, "c": 0.5}[j.Recipe] + 0.001*float64(j.Seed)
		o := Outcome{Accuracy: &acc, Params: 1000}
		if j.Recipe != "a" {
			o.Measures = map[string]float64{"bytes": map[string]float64{"b": 500, "c": 600}[j.Recipe], "flops": 7}
		}
		return o, nil
	}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	table := res.Table()
	_, bytes, _ := strings.Cut(table, "## Quality against bytes")
	bytes, flops, _ := strings.Cut(bytes, "## Quality against flops")
	for want, in := range map[string]string{"| cheap | 500 | 97.15 | yes |\n| bad | 600 | 50.15 | no |\n| float32 | 4000 | 98.15 | yes |": bytes,
		"| cheap | 7 | 97.15 | yes |\n| bad | 7 | 50.15 | no |\n": flops} {
		if !strings.Contains(in, want) {
			t.Errorf("no %q in\n%s", want, in)
		}
	}
	if strings.Contains(flops, "float32") {
		t.Errorf("FLOPs of float32 are not known:\n%s", flops)
	}
	for _, name := range []string{"front-bytes.svg", "front-flops.svg"} {
		d := xml.NewDecoder(strings.NewReader(res.Plots()[name]))
		for {
			if _, err := d.Token(); err == io.EOF {
				break
			} else if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		}
	}
}
