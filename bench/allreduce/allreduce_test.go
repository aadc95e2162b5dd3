package allreduce

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestSizes(t *testing.T) {
	tests := []struct {
		least, most string
		factor      int
		want        string
	}{
		{"1K", "64K", 4, "[1024 4096 16384 65536]"},
		{"1M", "1M", 2, "[1048576]"},
		{"0", "1K", 2, ""},
		{"1K", "512", 2, ""},
		{"1K", "1X", 2, ""},
		{"1K", "1M", 1, ""},
		{"1K", "999999G", 2, ""},
	}
	for _, tt := range tests {
		got, err := sizes(tt.least, tt.most, tt.factor)
		if (err != nil) != (tt.want == "") || err == nil && fmt.Sprint(got) != tt.want {
			t.Errorf("%s to %s by %d: %v, %v", tt.least, tt.most, tt.factor, got, err)
		}
	}
}

func TestMedianOfAllBatches(t *testing.T) {
	r := summarise(1024, []turn{
		{batches: []time.Duration{9, 1, 5}, allocs: 2},
		{batches: []time.Duration{7, 3}, allocs: 1, wrong: 4},
	})
	if r.Min != 1 || r.Median != 5 || r.Max != 9 || r.Wrong != 4 || r.Allocs != 1 {
		t.Errorf("%+v", r)
	}
}

func TestPage(t *testing.T) {
	row := func(us int) []Row { return []Row{{Bytes: 1 << 20, Median: time.Duration(us) * time.Microsecond}} }
	table := Table{World: 2, Skipped: []string{"gloo: not there"}, Rows: map[string][]Row{"shm": row(100), "mpi shm": row(450), "x += y": row(75)}}
	var out strings.Builder
	if err := Page(&out, []Table{table}, "espalier bench allreduce"); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Skipped gloo", "| 1M |", "**4.50**", "| 1.00 |\n", "Wrong sums: 0"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}
