package progress

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/espalier-ml/espalier/trainer/metrics"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares got with a file under testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
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
		t.Errorf("%s:\n%s\nwant:\n%s", path, got, want)
	}
}

func start() *metrics.Start {
	return &metrics.Start{Job: "digits", Run: "grown", Model: "resnet-20", World: 2, Threads: 1, Shards: 4, Params: 67802, ParamsFull: 268048,
		Steps: 2400, Samples: 152920, FixedTrainFlops: 2.3e12, Epochs: 40, Stages: 5, Dims: map[string]int{"s1": 8, "s2": 16, "s3": 32}}
}

func train(step int64) *metrics.Train {
	return &metrics.Train{Step: step, Epoch: metrics.Number(float64(step) / 60), Seconds: metrics.Number(float64(step) / 20), Samples: step * 64,
		Loss: metrics.Number(2.3 * math.Exp(-float64(step)/500)), Accuracy: metrics.Of(1 - 0.9*math.Exp(-float64(step)/400)), LR: 0.05,
		SamplesPerSec: 1280, Flops: metrics.Number(step) * 4e8, GradNorm: 0.75}
}

func eval(step int64, accuracy float64) *metrics.Eval {
	return &metrics.Eval{Step: step, Split: "test", Loss: 0.11, Accuracy: metrics.Of(accuracy), Count: 1797}
}

func grow(step int64) *metrics.Event {
	return &metrics.Event{Step: step, Event: metrics.EventGrow, Text: "stage 2, width × 1.25", Dims: map[string]int{"s1": 10, "s2": 20, "s3": 40}, Params: 104890, TookMS: 2.6, Batch: 64}
}

func checkpoint(step int64) *metrics.Event {
	return &metrics.Event{Step: step, Event: metrics.EventCheckpoint, TookMS: 4.2}
}

// halfway is a run in its second stage.
func halfway() []metrics.Record {
	return []metrics.Record{start(), train(10), train(20), checkpoint(300), eval(420, 0.975), grow(429), eval(480, 0.971), train(500), train(510), checkpoint(600), train(620)}
}

func end() *metrics.End {
	return &metrics.End{Step: 2400, Seconds: 119.8, TestAccuracy: metrics.Of(0.9833), Params: 268048, TrainFlops: 1.48e12, FixedTrainFlops: 2.31e12,
		Samples: 152920, World: 2, Digest: "9f2c4e0a77b1"}
}

func stateOf(rs ...metrics.Record) *State {
	s := &State{}
	for _, r := range rs {
		s.Add(r)
	}
	return s
}

func text(ls []Line) string {
	var b strings.Builder
	for _, l := range ls {
		b.WriteString(l.String() + "\n")
	}
	return b.String()
}

func TestBlock(t *testing.T) {
	language := []metrics.Record{&metrics.Start{Job: "shakespeare", World: 1, Steps: 1000, Dims: map[string]int{"a": 1, "b": 1, "c": 1, "d": 2, "e": 2, "f": 2, "g": 3}},
		&metrics.Train{Step: 100, Epoch: 0.5, Seconds: 30, Loss: metrics.Number(math.NaN()), LR: 3e-4, SamplesPerSec: 3.2},
		&metrics.Eval{Step: 100, Split: "val", Loss: 1.7}}
	tests := []struct {
		name    string
		in      []metrics.Record
		columns int
	}{
		{"nothing yet", nil, 80},
		{"started", []metrics.Record{start()}, 80},
		{"halfway", halfway(), 100},
		{"halfway", halfway(), 60},
		{"halfway", halfway(), 24},
		{"halfway", halfway(), 1},
		{"resumed", append(halfway(), &metrics.Event{Step: 300, Event: metrics.EventResume, Text: "resumed at step 300", Dims: map[string]int{"s1": 8, "s2": 16, "s3": 32}, Params: 67802}), 100},
		{"done", append(halfway(), train(2400), eval(2400, 0.9833), end()), 100},
		{"language model", language, 80},
	}
	var all strings.Builder
	for _, tt := range tests {
		got := Block(stateOf(tt.in...), tt.columns)
		for _, l := range got {
			if l.columns() > tt.columns {
				t.Errorf("%s: %q takes %d columns, want at most %d", tt.name, l, l.columns(), tt.columns)
			}
		}
		fmt.Fprintf(&all, "%s, %d columns\n%s\n", tt.name, tt.columns, text(got))
	}
	golden(t, "block.txt", all.String())
}

func TestTimeLeft(t *testing.T) {
	a := &metrics.Train{Step: 10, Samples: 1000, Seconds: 10, Flops: 100}
	b := &metrics.Train{Step: 20, Samples: 2000, Seconds: 20, Flops: 300}
	tests := []struct {
		name string
		in   []metrics.Record
		want float64 // < 0: not known
	}{
		{"one record tells no pace", []metrics.Record{&metrics.Start{Steps: 100}, a}, -1},
		{"by steps", []metrics.Record{&metrics.Start{Steps: 100}, a, b}, 80},
		{"by samples", []metrics.Record{&metrics.Start{Steps: 100, Samples: 3000}, a, b}, 10},
		{"by work", []metrics.Record{&metrics.Start{Steps: 100, Samples: 3000, TrainFlops: 700}, a, b}, 20},
		{"more than planned", []metrics.Record{&metrics.Start{Steps: 15}, a, b}, 0},
		{"the pace of the stage before does not count", []metrics.Record{&metrics.Start{Steps: 100}, a, b, grow(20)}, -1},
		{"no start", []metrics.Record{a, b}, -1},
		{"done", []metrics.Record{&metrics.Start{Steps: 100}, a, b, &metrics.End{Step: 100}}, -1},
		{"a clock that stood still", []metrics.Record{&metrics.Start{Steps: 100}, a, &metrics.Train{Step: 30, Seconds: 10}}, -1},
	}
	for _, tt := range tests {
		got, ok := stateOf(tt.in...).left()
		if !ok {
			got = -1
		}
		if got != tt.want {
			t.Errorf("%s: %g seconds, want %g", tt.name, got, tt.want)
		}
	}
}

func TestTheBestEvaluation(t *testing.T) {
	val := func(step int64, loss metrics.Number) *metrics.Eval {
		return &metrics.Eval{Step: step, Split: "val", Loss: loss}
	}
	for name, tt := range map[string]struct {
		in   []metrics.Record
		want int64
	}{
		"by accuracy":               {[]metrics.Record{eval(1, 0.9), eval(2, 0.95), eval(3, 0.92)}, 2},
		"by loss":                   {[]metrics.Record{val(1, 2), val(2, 1), val(3, 1.5)}, 2},
		"of one split":              {[]metrics.Record{eval(1, 0.9), val(2, 9)}, 2},
		"not of a forgotten future": {[]metrics.Record{eval(1, 0.9), eval(5, 0.99), &metrics.Event{Step: 2, Event: metrics.EventResume}, eval(3, 0.91)}, 3},
	} {
		if got := stateOf(tt.in...).best; got == nil || got.Step != tt.want {
			t.Errorf("%s: %+v, want step %d", name, got, tt.want)
		}
	}
}

func TestRecallTellsWhatWasBefore(t *testing.T) {
	l := &metrics.Log{}
	for _, r := range halfway() {
		l.Add(r)
	}
	p := New(&bytes.Buffer{}, Options{})
	p.Recall(l)
	p.Handle(&metrics.Event{Step: 600, Event: metrics.EventResume, Text: "resumed at step 600"})
	golden(t, "recall.txt", text(Block(&p.state, 100)))
}

// clock is a time under control.
type clock struct{ now time.Time }

func (c *clock) time() time.Time { return c.now }

func TestPlainLines(t *testing.T) {
	var out bytes.Buffer
	c := &clock{now: time.Unix(1e9, 0)}
	p := New(&out, Options{Every: 5 * time.Second, Clock: c.time})
	for _, r := range append(halfway(), &metrics.Eval{Step: 700, Split: "val", Loss: 1.5, Count: 10}, end()) {
		p.Handle(r)
		c.now = c.now.Add(2 * time.Second)
	}
	fmt.Fprintln(p, "a line of the log")
	p.Close()
	golden(t, "plain.txt", out.String())
}

func TestPlainShowsEveryEvaluationAndEvent(t *testing.T) {
	var out bytes.Buffer
	c := &clock{now: time.Unix(1e9, 0)} // stands still
	p := New(&out, Options{Clock: c.time})
	for i := range int64(100) {
		p.Handle(train(i))
		if i%10 == 0 {
			p.Handle(eval(i, 0.5))
			p.Handle(grow(i))
		}
	}
	for word, want := range map[string]int{"train ": 1, "eval ": 10, "grow ": 10} {
		if got := strings.Count("\n"+out.String(), "\n"+word); got != want {
			t.Errorf("%d lines of %s, want %d", got, word, want)
		}
	}
}

func terminal(columns, rows int) (*screen, *Progress, *clock) {
	s, c := &screen{columns: columns}, &clock{now: time.Unix(1e9, 0)}
	p := New(s, Options{Clock: c.time, Size: func() (int, int) { return s.columns, rows }, Colour: new(true)})
	return s, p, c
}

func TestTerminalShowsLogAboveOneBlock(t *testing.T) {
	s, p, c := terminal(90, 24)
	fmt.Fprintln(p, "before the start")
	for i, r := range halfway() {
		p.Handle(r)
		c.now = c.now.Add(time.Second)
		fmt.Fprintf(p, "log line %d\n", i)
	}
	fmt.Fprint(p, "two\nlines and ")
	fmt.Fprint(p, "a half, longer than the terminal is wide: ", strings.Repeat("x", 60))
	p.Close()
	fmt.Fprintln(p, "after the end")
	golden(t, "screen.txt", s.String())
}

func TestTerminalFrames(t *testing.T) {
	s, p, c := terminal(80, 24)
	p.Handle(start())
	before := s.writes
	for i := range int64(50) { // within one frame
		p.Handle(train(i))
		c.now = c.now.Add(time.Millisecond)
	}
	if got := s.writes - before; got != 0 {
		t.Errorf("%d frames within 50 ms of the one before, want 0", got)
	}
	c.now = c.now.Add(time.Second)
	p.Handle(train(50))
	if got := s.writes - before; got != 1 {
		t.Errorf("%d writes for a frame, want 1", got)
	}
	p.Handle(eval(50, 0.5)) // news are shown at once
	if got := s.writes - before; got != 2 {
		t.Errorf("%d writes after an evaluation, want 2", got)
	}
}

func TestBlockFitsTheTerminal(t *testing.T) {
	for _, rows := range []int{1, 2, 4, 8} {
		s, p, _ := terminal(60, rows)
		for _, r := range halfway() {
			p.Handle(r)
		}
		p.Close()
		if got := strings.Count(s.String(), "\n"); got > max(1, rows-1) {
			t.Errorf("%d rows: the block takes %d:\n%s", rows, got, s)
		}
	}
}

func TestTerminalGetsNarrower(t *testing.T) {
	s, p, _ := terminal(100, 24)
	fmt.Fprintln(p, "log")
	for _, r := range halfway() {
		p.Handle(r)
	}
	s.resize(40)
	p.Close()
	want := "log\n" + text(Block(stateOf(halfway()...), 39))
	if got := s.String(); got != want {
		t.Errorf("after getting narrower:\n%s\nwant:\n%s", got, want)
	}
}

func TestTextsFromOutsideCannotMoveTheCursor(t *testing.T) {
	evil := "a\x1b[2J\nb\u202e\tc\u0007"
	in := []metrics.Record{&metrics.Start{Job: evil, Run: evil, Model: evil}, &metrics.Event{Event: evil, Text: evil, Dims: map[string]int{evil: 1}},
		&metrics.Eval{Split: evil}, &metrics.End{Digest: evil}}
	s := &State{}
	for _, r := range in {
		s.Add(r)
		all := s.Line(r) + strings.ReplaceAll(text(Block(s, 200)), "\n", "")
		if strings.ContainsAny(all, "\x1b\n\t\u0007\u202e") {
			t.Errorf("%T: %q holds control characters", r, all)
		}
	}
}

func TestColumns(t *testing.T) {
	tests := []struct {
		in   string
		n    int
		want string
	}{
		{"plain", 5, "plain"},
		{"plain", 4, "pla…"},
		{"plain", 1, "…"},
		{"plain", 0, ""},
		{"数字と", 6, "数字と"},
		{"数字と", 5, "数字…"},
		{"数字と", 4, "数…"},
		{"e\u0301té", 3, "e\u0301té"},
	}
	for _, tt := range tests {
		got := shorten(tt.in, tt.n)
		if got != tt.want || columns(got) > tt.n {
			t.Errorf("shorten(%q, %d) = %q of %d columns, want %q", tt.in, tt.n, got, columns(got), tt.want)
		}
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

func TestABrokenOutputDisturbsNobody(t *testing.T) {
	p := New(broken{}, Options{Size: func() (int, int) { return 80, 24 }})
	for _, r := range halfway() {
		p.Handle(r)
	}
	if n, err := fmt.Fprintln(p, "log"); n != 4 || err != nil {
		t.Errorf("Write = %d, %v, want 4, nil", n, err)
	}
	if err := errors.Join(p.Close(), p.Close()); err != nil {
		t.Error(err)
	}
}

func TestSeveralGoroutines(t *testing.T) {
	s, p, _ := terminal(80, 24)
	var wg sync.WaitGroup
	wg.Go(func() {
		for _, r := range halfway() {
			p.Handle(r)
		}
	})
	for g := range 3 {
		wg.Go(func() {
			for i := range 20 {
				fmt.Fprintf(p, "log %d of %d\n", i, g)
			}
		})
	}
	wg.Wait()
	p.Close()
	if got := strings.Count(s.String(), "log "); got != 60 {
		t.Errorf("%d log lines on the screen, want 60:\n%s", got, s)
	}
}

func TestAFileIsNoTerminal(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p := New(f, Options{})
	p.Handle(start())
	b, err := os.ReadFile(f.Name())
	if want := stateOf().Line(start()) + "\n"; err != nil || string(b) != want {
		t.Errorf("file holds %q, %v, want %q", b, err, want)
	}
}
