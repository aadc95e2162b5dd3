package report

import (
	"bytes"
	"errors"
	"flag"
	"image/png"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/espalier-ml/espalier/trainer/metrics"
)

var update = flag.Bool("update", false, "write testdata anew")

// golden compares got with a file under testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
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

// sample returns the two runs under testdata, which are worth a look:
// -update also writes their report.
func sample(t *testing.T) (grown, fixed *Run) {
	t.Helper()
	dir := "testdata"
	if *update {
		for _, s := range []synthetic{syntheticGrown, syntheticFixed} {
			s.every = 24
			into := filepath.Join(dir, s.run)
			if err := os.RemoveAll(filepath.Join(into, metrics.FileName)); err != nil {
				t.Fatal(err)
			}
			save(t, into, s.records())
		}
	}
	return load(t, filepath.Join(dir, "grown")), load(t, filepath.Join(dir, "fixed"))
}

// run makes a Run of records in a new folder.
func run(t *testing.T, rs ...metrics.Record) *Run {
	t.Helper()
	return load(t, save(t, filepath.Join(t.TempDir(), "some run"), rs))
}

func TestReadTheSample(t *testing.T) {
	g, f := sample(t)
	if g.Name != "grown" || f.Name != "fixed" || g.Log.End == nil || len(g.Log.Train) != 100 || len(g.Log.Evals) != 40 {
		t.Errorf("%s, %s, %d training records, %d evaluations", g.Name, f.Name, len(g.Log.Train), len(g.Log.Evals))
	}
	if g.Environment == nil || g.Environment.Cores != 2 || f.Environment != nil {
		t.Errorf("environments %+v, %+v", g.Environment, f.Environment)
	}
	if !strings.HasPrefix(g.Job, "name: digits\n") || f.Job != "" {
		t.Errorf("jobs %q, %q", g.Job, f.Job)
	}
}

func TestReadRefuses(t *testing.T) {
	tests := []struct {
		name  string
		files map[string]string
		want  string
	}{
		{"a folder without record", nil, "no metrics.jsonl; is this the folder of a run?"},
		{"a broken record", map[string]string{metrics.FileName: "{}\n"}, `metrics.jsonl:1: no key "kind"`},
		{"a broken environment", map[string]string{metrics.FileName: "", EnvironmentFile: "{"}, EnvironmentFile},
		{"a huge job file", map[string]string{metrics.FileName: "", JobFile: strings.Repeat("#", maxSide+1)}, "job.yaml: more than 1048576 bytes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			for name, text := range tt.files {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := Read(dir); err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), dir) {
				t.Errorf("error %v, want one with %q that names %s", err, tt.want, dir)
			}
		})
	}
	if _, err := Read(t.TempDir()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v is not fs.ErrNotExist", err)
	}
}

func TestWrite(t *testing.T) {
	g, f := sample(t)
	dir := t.TempDir()
	for range 2 { // over the files of an earlier report too
		if err := Write(dir, g, f); err != nil {
			t.Fatal(err)
		}
	}
	var names []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if !d.IsDir() {
			name, _ := filepath.Rel(dir, path)
			names = append(names, name)
		}
		return err
	})
	want := []string{"plots/accuracy.png", "plots/accuracy.svg", "plots/cost.png", "plots/cost.svg", "plots/growth.png", "plots/growth.svg",
		"plots/loss.png", "plots/loss.svg", "report.html"}
	if err != nil || !slices.Equal(names, want) {
		t.Errorf("files %v, %v, want %v", names, err, want)
	}
	info, err := os.Stat(filepath.Join(dir, PageFile))
	if err != nil || info.Mode().Perm() != 0o644 || info.Size() > 600<<10 {
		t.Errorf("%v, %v", info, err)
	}
}

func TestPlotsAreImages(t *testing.T) {
	g, f := sample(t)
	for _, p := range plotsOf([]*Run{g, f}) {
		svg, raster, err := p.draw()
		if err != nil {
			t.Fatal(err)
		}
		parseXML(t, svg)
		img, err := png.Decode(bytes.NewReader(raster))
		if err != nil || img.Bounds().Dx() < 900 || img.Bounds().Dy() < 500 {
			t.Errorf("%s: %v, %v", p.file, img.Bounds(), err)
		}
	}
}

func TestAPlotOfNothingIsRemoved(t *testing.T) {
	dir := t.TempDir()
	g, _ := sample(t)
	if err := Write(dir, g); err != nil {
		t.Fatal(err)
	}
	text := syntheticGrown
	text.text = true
	if err := Write(dir, run(t, text.records()...)); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{"accuracy.png": false, "accuracy.svg": false, "loss.png": true} {
		if _, err := os.Stat(filepath.Join(dir, PlotFolder, name)); (err == nil) != want {
			t.Errorf("%s: %v, want there %v", name, err, want)
		}
	}
}

func TestNothingToReport(t *testing.T) {
	if err := Write(t.TempDir()); err == nil {
		t.Error("Write without runs: no error")
	}
	if err := Table(&bytes.Buffer{}); err == nil {
		t.Error("Table without runs: no error")
	}
	if _, err := Page(); err == nil {
		t.Error("Page without runs: no error")
	}
}

func TestAFailedWriteNamesTheFileAndLeavesTheOldOne(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, PageFile)
	if err := os.MkdirAll(filepath.Join(path, "in the way"), 0o755); err != nil {
		t.Fatal(err)
	}
	g, _ := sample(t)
	if err := Write(dir, g); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("error %v, want one that names %s", err, path)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("%d entries in the folder, %v, want the old one alone", len(entries), err)
	}
}
