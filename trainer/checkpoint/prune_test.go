package checkpoint_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

func TestSavingAStepAgain(t *testing.T) {
	s, mem := memory()
	first := save(t, s, 1, 2)
	if err := mem.Remove(first + "/manifest.json"); err != nil {
		t.Fatal(err)
	}
	for i := range 12 { // past .9, which sorts after .10 as text
		want := fmt.Sprintf("step-00000002.%d", i+1)
		if got := filepath.Base(save(t, s, 2)); got != want {
			t.Errorf("saved as %s, want %s", got, want)
		}
		if path, skipped, err := s.Latest(); filepath.Base(path) != want || skipped != nil || err != nil {
			t.Errorf("latest is %s %v %v, want %s", path, skipped, err, want)
		}
	}
	if err := s.Prune(2); err != nil {
		t.Fatal(err)
	}
	if got := names(t, s); got != "step-00000001 step-00000002.12" {
		t.Errorf("prune left %s", got)
	}
}

func TestPrune(t *testing.T) {
	for _, c := range []struct {
		name    string
		damaged []string // of steps 1 to 5
		keep    int
		want    string
	}{
		{"newest", nil, 2, "4 5"},
		{"one", nil, 1, "5"},
		{"more than there are", nil, 9, "1 2 3 4 5"},
		{"damaged ones don't count", []string{"4"}, 2, "3 5"},
		{"newer damaged ones stay", []string{"4", "5"}, 1, "3 4 5"},
		{"older damaged ones go", []string{"1", "2"}, 3, "3 4 5"},
		{"the only good one stays", []string{"2", "3", "4", "5"}, 1, "1 2 3 4 5"},
		{"nothing good: nothing goes", []string{"1", "2", "3", "4", "5"}, 1, "1 2 3 4 5"},
	} {
		s, mem := memory()
		save(t, s, 5, 1, 2, 4, 3)
		for _, d := range c.damaged {
			file := s.Dir + "/step-0000000" + d + "/state-00000-of-00001.safetensors"
			if err := mem.Corrupt(file, func(b []byte) []byte { return b[1:] }); err != nil {
				t.Fatal(err)
			}
		}
		if err := mem.Mkdir(s.Dir + "/step-00000009.tmp-77"); err != nil {
			t.Fatal(err)
		}
		if err := s.Prune(c.keep); err != nil {
			t.Fatal(err)
		}
		if got := strings.ReplaceAll(names(t, s), "step-0000000", ""); got != c.want {
			t.Errorf("%s: left %s, want %s", c.name, got, c.want)
		}
	}
	s, _ := memory()
	if err := s.Prune(0); err == nil {
		t.Error("prune to 0 was allowed")
	}
	if err := s.Prune(1); err != nil {
		t.Errorf("prune without a folder: %v", err)
	}
}

func TestStrangersAreLeftAlone(t *testing.T) {
	s, mem := memory()
	save(t, s, 1)
	for _, name := range []string{"notes", "step-1", "step-00000002.x", "step-00000002.0", "step-00000002.01", "step-+0000002", "best.tmp-1"} {
		if err := mem.Mkdir(s.Dir + "/" + name); err != nil {
			t.Fatal(err)
		}
	}
	before := names(t, s)
	path, skipped, err := s.Latest()
	if err != nil || skipped != nil || filepath.Base(path) != "step-00000001" {
		t.Errorf("latest: %s %v %v", path, skipped, err)
	}
	if err := s.Prune(1); err != nil {
		t.Fatal(err)
	}
	if got := names(t, s); got != before {
		t.Errorf("left %s, want %s", got, before)
	}
}
