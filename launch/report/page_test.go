package report

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"strings"
	"testing"

	"github.com/espalier-ml/espalier/trainer/metrics"
)

// parseXML fails unless b is well-formed. The page is written so that it is
// XML too, but for the document type and what style and script hold.
func parseXML(t *testing.T, b []byte) {
	t.Helper()
	in := xml.NewDecoder(bytes.NewReader(b))
	for {
		if _, err := in.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatalf("not well-formed: %v", err)
		}
	}
}

var styleAndScript = regexp.MustCompile(`(?s)<(style|script)>.*?</(style|script)>`)

// pageOf renders a page and checks what holds for every page.
func pageOf(t *testing.T, runs ...*Run) string {
	t.Helper()
	b, err := Page(runs...)
	if err != nil {
		t.Fatal(err)
	}
	body := styleAndScript.ReplaceAll(b, nil)
	parseXML(t, body)
	for _, outside := range []string{"http:", "https:", "src=", "href=", "@import", "ZgotmplZ"} {
		if bytes.Contains(body, []byte(outside)) {
			t.Errorf("the page holds %q", outside)
		}
	}
	ids := map[string]bool{}
	for _, m := range regexp.MustCompile(`\bid="([^"]*)"`).FindAllSubmatch(body, -1) {
		if id := string(m[1]); ids[id] || strings.Contains(id, " ") {
			t.Errorf("id %q is not unique or holds a space", id)
		}
		ids[string(m[1])] = true
	}
	return string(b)
}

func wantIn(t *testing.T, page string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(page, p) {
			t.Errorf("the page lacks %q", p)
		}
	}
}

func TestPageOfTheSample(t *testing.T) {
	g, f := sample(t)
	page := pageOf(t, g, f)
	wantIn(t, page, "<h1>digits</h1>", "of its training FLOPs and", `class="state finished"`, ">grown / fixed<",
		"<h3>Loss</h3>", "<h3>Accuracy</h3>", "<h3>Learning rate</h3>", "<h3>Samples a second</h3>", "<h3>Width of each Dim</h3>",
		"<h3>Training FLOPs spent</h3>", "<h3>Time spent</h3>", "s3 +1: 64", "stage 5, width × 1.14", "name: digits", "Example CPU", "9f2c4e0a77b1")
	if again := pageOf(t, g, f); again != page {
		t.Error("two pages of the same runs differ")
	}
	if strings.Contains(page, "not finite") {
		t.Error("a note on values that are not finite, but all are")
	}
}

func TestPagesOfRunsThatDidNotEndWell(t *testing.T) {
	stopped, text, alone := syntheticGrown, syntheticGrown, syntheticGrown
	stopped.stopAt, text.text = 700, true
	nan := metrics.Number(math.NaN())
	tests := []struct {
		name string
		in   []metrics.Record
		want []string
		lack []string
	}{
		{"empty", nil, []string{"<h1>some run</h1>", "Nothing recorded yet.", "The record has no start.", "not evaluated yet"}, []string{"<h2>Growth</h2>", "<h2>Events</h2>"}},
		{"only a start", []metrics.Record{&metrics.Start{Job: "digits", World: 1, Steps: 5}}, []string{"<h1>digits</h1>", "Nothing recorded yet.", "1 worker"}, nil},
		{"stopped", stopped.records(), []string{"Unfinished at step 700 of 2,400", `class="state unfinished"`, "The run folder has no job file."}, nil},
		{"alone", alone.records(), []string{"full size, computed"}, nil},
		{"language model", text.records(), []string{"<h3>Held-out loss</h3>", "nats of validation loss"}, []string{"<h3>Accuracy</h3>"}},
		{"resumed", append(stopped.records(), &metrics.Event{Step: 600, Event: metrics.EventResume, Text: "after a power cut"}),
			[]string{"grown was resumed 1 time;", "after a power cut", `<span class="resume">resumed</span>`}, nil},
		{"diverged", []metrics.Record{&metrics.Train{Step: 1, Loss: 2}, &metrics.Train{Step: 2, Loss: nan, GradNorm: metrics.Number(math.Inf(1))}, &metrics.Train{Step: 3, Loss: 1e300}, &metrics.Eval{Step: 3, Loss: nan, Accuracy: &nan}},
			[]string{"2 values are not finite (NaN or ∞), the first at step 2; left out.", "NaN test accuracy"}, nil},
		{"diverged at once", []metrics.Record{&metrics.Train{Step: 1, Loss: nan}}, []string{"1 value is not finite"}, nil},
	}
	tests[6].in[3].(*metrics.Eval).Split = "test"
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := run(t, tt.in...)
			page := pageOf(t, r)
			wantIn(t, page, tt.want...)
			for _, p := range tt.lack {
				if strings.Contains(page, p) {
					t.Errorf("the page holds %q", p)
				}
			}
			plotsAreWellFormed(t, r)
			if err := Table(io.Discard, r); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestTextsFromOutsideStayText(t *testing.T) {
	evil := `"'></script></pre><script>alert(1)</script>`
	r := run(t, &metrics.Start{Job: evil, Run: evil, Model: evil, Dims: map[string]int{evil: 3}, Params: 1},
		&metrics.Train{Step: 1, Loss: 1}, &metrics.Eval{Step: 1, Split: evil, Loss: 1},
		&metrics.Event{Step: 1, Event: evil, Text: evil, Dims: map[string]int{evil: 4}}, &metrics.End{Step: 2, Digest: evil})
	r.Job = evil
	r.Environment = &Environment{CPU: evil}
	if page := pageOf(t, r); strings.Contains(page, "<script>alert") {
		t.Error("a text from outside became markup")
	}
}

func TestALongRunMakesASmallPage(t *testing.T) {
	l := &metrics.Log{}
	for i := range int64(200_000) {
		l.Train = append(l.Train, metrics.Train{Step: i, Epoch: metrics.Number(i), Seconds: metrics.Number(i), Flops: metrics.Number(i), Loss: metrics.Number(i % 100), LR: 1})
		if i%1000 == 0 {
			l.Evals = append(l.Evals, metrics.Eval{Step: i, Split: "test", Loss: 1})
			l.Events = append(l.Events, metrics.Event{Step: i, Event: metrics.EventCheckpoint}, metrics.Event{Step: i, Event: "prune", Text: fmt.Sprint(i)})
		}
	}
	r := &Run{Name: "long", Log: l}
	if page := pageOf(t, r); len(page) > 1<<20 {
		t.Errorf("%d bytes, want less than a MiB", len(page))
	}
	for _, p := range plotsOf([]*Run{r}) {
		for _, c := range p.curves {
			if len(c.points) > plotPoints {
				t.Errorf("plot %s: %d points, want at most %d", p.file, len(c.points), plotPoints)
			}
		}
	}
}
