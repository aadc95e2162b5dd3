package main

import (
	"strings"
	"testing"

	"github.com/espalier-ml/espalier/bench/step"
)

func measured(median float64, invalid string) step.Result {
	return step.Result{Peer: "pytorch 1.13 contiguous", StepMS: step.Spread{Median: median, Min: median - 1, Max: median + 1}, PeakRSS: 10, Invalid: invalid}
}

func TestInvalidTurnsAreDropped(t *testing.T) {
	for _, c := range []struct {
		name     string
		in       []step.Result
		want     float64
		n, wrong int
	}{
		{"all valid", []step.Result{measured(10, ""), measured(30, ""), measured(20, "")}, 20, 3, 0},
		{"one invalid", []step.Result{measured(10, ""), measured(90, "shared")}, 10, 1, 1},
		{"none valid", []step.Result{measured(80, "shared"), measured(90, "shared")}, 85, 0, 2},
	} {
		f := summarise(c.in)
		if f.step != c.want || f.n != c.n || f.invalid != c.wrong {
			t.Errorf("%s: %v of %d valid and %d invalid, want %v, %d, %d", c.name, f.step, f.n, f.invalid, c.want, c.n, c.wrong)
		}
	}
}

func TestThePeersFasterFormatCounts(t *testing.T) {
	r := row{
		c: step.Case{Model: "resnet-20", Batch: 128, Steps: 5}, s: setting{2, 1},
		ours:  []step.Result{measured(50, "")},
		peers: map[string][]step.Result{"contiguous": {measured(100, "")}, "channels_last": {measured(80, "")}},
	}
	var out strings.Builder
	if err := write(&out, []row{r}, "go run ./bench/compare step"); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"**1.60** (1.61)", "channels_last", "2 threads", "1.4 / 1.8", "PyTorch 1.13"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}

func TestSettings(t *testing.T) {
	got, err := parseSettings("1x1,2x1,1x2")
	if err != nil || len(got) != 3 || got[1] != (setting{2, 1}) || got[2] != (setting{1, 2}) {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []string{"", "2", "0x1", "1x", "axb"} {
		if _, err := parseSettings(bad); err == nil {
			t.Errorf("%q is accepted", bad)
		}
	}
}
