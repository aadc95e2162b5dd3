package report

import (
	"bytes"
	"errors"
	"flag"
	"image/png"
	"io/fs"
	"os"
	"path/filepath"
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

// files lists what lies under dir.
func files(t *testing.T, dir string) string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			names = append(names, strings.TrimPrefix(path, dir+"/"))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(names, " ")
}

func TestWrite(t *testing.T) {
	g, f := sample(t)
	dir := t.TempDir()
	if err := Write(dir, g, f); err != nil {
		t.Fatal(err)
	}
	want := "plots/accuracy.png plots/accuracy.svg plots/cost.png plots/cost.svg plots/growth.png plots/growth.svg plots/loss.png plots/loss.svg report.html"
	if got := files(t, dir); got != want {
		t.Errorf("files %s, want %s", got, want)
	}
	info, err := os.Stat(filepath.Join(dir, PageFile))
	if err != nil || info.Mode().Perm() != 0o644 || info.Size() > 600<<10 {
		t.Errorf("%v, %v", info, err)
	}
	raster, err := os.ReadFile(filepath.Join(dir, PlotFolder, "loss.png"))
	if err != nil {
		t.Fatal(err)
	}
	if img, err := png.Decode(bytes.NewReader(raster)); err != nil || img.Bounds().Dx() != 945 || img.Bounds().Dy() != 591 {
		t.Errorf("loss.png: %v, %v", img.Bounds(), err)
	}
}

func TestWriteOverAnEarlierReport(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, PlotFolder), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"report.html", "plots/accuracy.png", "plots/accuracy.svg", "plots/loss.svg", "plots/mine.png"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("old"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := Write(dir, run(t, &metrics.Train{Step: 1, Loss: 2}, &metrics.Train{Step: 2, Loss: 1})); err != nil {
		t.Fatal(err)
	}
	// Nothing has an accuracy or grew; what is not a plot of ours stays.
	if got, want := files(t, dir), "plots/cost.png plots/cost.svg plots/loss.png plots/loss.svg plots/mine.png report.html"; got != want {
		t.Errorf("files %s, want %s", got, want)
	}
	for _, name := range []string{"report.html", "plots/loss.svg"} {
		if b, err := os.ReadFile(filepath.Join(dir, name)); err != nil || string(b) == "old" {
			t.Errorf("%s is still the old one, %v", name, err)
		}
	}
}

// plotsAreWellFormed draws the plots of runs.
func plotsAreWellFormed(t *testing.T, runs ...*Run) {
	t.Helper()
	for _, f := range plotsOf(runs) {
		p, err := f.plot()
		if err != nil {
			t.Fatalf("plot %s: %v", f.file, err)
		}
		svg, err := drawSVG(p)
		if err != nil {
			t.Fatalf("plot %s: %v", f.file, err)
		}
		parseXML(t, svg)
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
