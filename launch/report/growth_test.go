package report

import (
	"debug/buildinfo"
	"fmt"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/espalier-ml/espalier/trainer/metrics"
)

func grow(step int64, dims map[string]int) *metrics.Event {
	return &metrics.Event{Step: step, Event: metrics.EventGrow, Dims: dims}
}

func logOf(rs ...metrics.Record) *metrics.Log {
	l := &metrics.Log{}
	for _, r := range rs {
		l.Add(r)
	}
	return l
}

func TestGrowLines(t *testing.T) {
	tests := []struct {
		name string
		in   []metrics.Record
		want string
	}{
		{"nothing known", []metrics.Record{&metrics.Start{}, &metrics.Train{Step: 5}}, ""},
		{"never grown", []metrics.Record{&metrics.Start{Dims: map[string]int{"d": 8}}, &metrics.Train{Step: 5}}, "d 0:8 5:8"},
		{"grown twice, one Dim named at a time", []metrics.Record{&metrics.Start{Dims: map[string]int{"a": 2, "b": 8}}, grow(3, map[string]int{"b": 12}), grow(5, map[string]int{"a": 4, "b": 12}), &metrics.End{Step: 9}},
			"a 0:2 5:4 9:4; b 0:8 3:12 9:12"},
		{"equal histories share a line, narrow ones first", []metrics.Record{&metrics.Start{Dims: map[string]int{"x": 9, "b": 2, "c": 2, "a": 2}}, &metrics.Train{Step: 1}},
			"a and 2 like it 0:2 1:2; x 0:9 1:9"},
		{"a start that does not tell", []metrics.Record{&metrics.Start{}, grow(3, map[string]int{"b": 12}), &metrics.Train{Step: 7}}, "b 3:12 7:12"},
		{"a resume forgets what was grown after it", []metrics.Record{&metrics.Start{Dims: map[string]int{"a": 2}}, grow(6, map[string]int{"a": 4}),
			&metrics.Event{Step: 5, Event: metrics.EventResume, Dims: map[string]int{"a": 2}}, &metrics.Train{Step: 8}}, "a 0:2 8:2"},
		{"grown at the last step", []metrics.Record{&metrics.Start{Dims: map[string]int{"a": 2}}, grow(6, map[string]int{"a": 4})}, "a 0:2 6:4 6:4"},
	}
	for _, tt := range tests {
		var parts []string
		for _, g := range growLines(logOf(tt.in...)) {
			s := g.name()
			for _, p := range g.points {
				s += fmt.Sprintf(" %g:%g", p.X, p.Y)
			}
			parts = append(parts, s)
		}
		if got := strings.Join(parts, "; "); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestEventRows(t *testing.T) {
	check := func(step int64) *metrics.Event {
		return &metrics.Event{Step: step, Event: metrics.EventCheckpoint, TookMS: 3, Seconds: metrics.Number(step)}
	}
	l := logOf(check(1), check(2), grow(2, map[string]int{"a": 4}), check(3), check(4), check(1500), check(2000), &metrics.Event{Step: 2000, Seconds: 2000, Event: "prune", Params: 7000, Batch: 32})
	rows, left := eventRows(l)
	var got []string
	for _, r := range rows {
		got = append(got, strings.Join([]string{r.Class, r.Step, r.Time, r.What, r.Text, r.Widths, r.Params, r.Batch, r.Took}, "|"))
	}
	want := []string{
		"checkpoint|1|0:01|checkpoint|||||3 ms",
		"checkpoint|2|0:02|checkpoint|||||3 ms",
		"grow|2|0:00|grown||a 4|||",
		"checkpoint|3 – 2,000|0:03 – 33:20|checkpoint|4 checkpoints||||3 ms each",
		"note|2,000|33:20|prune|||7,000|32|",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") || left != 0 {
		t.Errorf("%d left, rows\n%s\nwant\n%s", left, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	short, _ := eventRows(logOf(check(1), grow(2, nil)))
	if short[0].Time != "1.00 s" {
		t.Errorf("time in a short run %q, want 1.00 s", short[0].Time)
	}
	for i := range int64(maxEvents + 10) {
		l.Add(&metrics.Event{Step: 3000 + i, Event: metrics.EventNote})
	}
	if rows, left := eventRows(l); len(rows) != maxEvents || left != 15 {
		t.Errorf("%d rows, %d left, want %d, 15", len(rows), left, maxEvents)
	}
}

func TestEnvironment(t *testing.T) {
	dir := t.TempDir()
	want := CurrentEnvironment("avx2 fma")
	if want.Cores < 1 || want.CPU == "" || want.Version == "" || !strings.HasPrefix(want.Go, "go") {
		t.Errorf("this machine is %+v", want)
	}
	if err := want.Save(dir); err != nil {
		t.Fatal(err)
	}
	if got, err := readEnvironment(dir + "/" + EnvironmentFile); err != nil || *got != want {
		t.Errorf("read %+v, %v, want %+v", got, err, want)
	}
	if err := want.Save(dir + "/nowhere"); err == nil || !strings.Contains(err.Error(), "nowhere") {
		t.Errorf("error %v, want one that names the folder", err)
	}
}

func TestCPUName(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "processor\t: 0\nmodel name\t: Example  CPU\t@ 2.0GHz\nflags\t: a b\n": "Example CPU @ 2.0GHz", "model name": "",
	} {
		if got := cpuName(strings.NewReader(in)); got != want {
			t.Errorf("cpuName(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestVersion(t *testing.T) {
	setting := func(key, value string) debug.BuildSetting { return debug.BuildSetting{Key: key, Value: value} }
	tests := []struct {
		in   buildinfo.BuildInfo
		want string
	}{
		{buildinfo.BuildInfo{}, "(devel)"},
		{buildinfo.BuildInfo{Main: debug.Module{Version: "v1.2.3"}}, "v1.2.3"},
		{buildinfo.BuildInfo{Main: debug.Module{Version: "v1.2.3"}, Settings: []debug.BuildSetting{setting("vcs.revision", "4f2a91c05d77"), setting("vcs.modified", "true")}}, "v1.2.3 (4f2a91c05d, modified)"},
		{buildinfo.BuildInfo{Settings: []debug.BuildSetting{setting("vcs.revision", "4f2a"), setting("vcs.modified", "false")}}, "(devel) (4f2a)"},
	}
	for _, tt := range tests {
		if got := version(&tt.in); got != tt.want {
			t.Errorf("version(%+v) = %q, want %q", tt.in, got, tt.want)
		}
	}
}
