package metrics

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func open(t *testing.T, path string) *Writer {
	t.Helper()
	w, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	return w
}

func write(t *testing.T, w *Writer, rs ...Record) {
	t.Helper()
	for _, r := range rs {
		if err := w.Write(r); err != nil {
			t.Fatal(err)
		}
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	l, err := ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return story(l)
}

func TestRecordsAreInTheFileWhenWriteReturns(t *testing.T) {
	path := filepath.Join(t.TempDir(), FileName)
	w := open(t, path)
	write(t, w, train(1, 3))
	if got := read(t, path); got != "t1:3" {
		t.Errorf("after one record: %q", got)
	}
	write(t, w, eval(1, 2))
	if got := read(t, path); got != "t1:3 e1:2" {
		t.Errorf("after two records: %q", got)
	}
}

// Cutting the file at any byte is what a crash can do to it.
func TestReopenAfterACrashAtAnyByte(t *testing.T) {
	dir := t.TempDir()
	whole := filepath.Join(dir, "whole")
	write(t, open(t, whole), train(1, 3), train(2, 2))
	all, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	first := strings.IndexByte(string(all), '\n')
	path := filepath.Join(dir, "torn")
	for cut := range len(all) + 1 {
		if err := os.WriteFile(path, all[:cut], 0o644); err != nil {
			t.Fatal(err)
		}
		want := "t9:1"
		if cut >= first {
			want = "t1:3 t9:1"
		}
		if cut >= len(all)-1 {
			want = "t1:3 t2:2 t9:1"
		}
		w := open(t, path)
		write(t, w, train(9, 1))
		w.Close()
		if got := read(t, path); got != want {
			t.Errorf("cut at byte %d of %d: got %q, want %q", cut, len(all), got, want)
		}
	}
}

func TestReopenCutsALongTail(t *testing.T) {
	path := filepath.Join(t.TempDir(), FileName)
	write(t, open(t, path), train(1, 3))
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(make([]byte, 200<<10)); err != nil {
		t.Fatal(err)
	}
	f.Close()
	write(t, open(t, path), train(2, 2))
	if got := read(t, path); got != "t1:3 t2:2" {
		t.Errorf("got %q", got)
	}
}

func TestWriteRefusesWhatReadWould(t *testing.T) {
	path := filepath.Join(t.TempDir(), FileName)
	w := open(t, path)
	for name, r := range map[string]Record{
		"negative step":      train(-1, 0),
		"event without name": event(1, ""),
		"huge text":          &Event{Event: EventNote, Text: strings.Repeat("x", maxLine)},
	} {
		if err := w.Write(r); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	write(t, w, train(1, 3))
	if got := read(t, path); got != "t1:3" {
		t.Errorf("got %q", got)
	}
}

func TestWriteFromSeveralGoroutines(t *testing.T) {
	path := filepath.Join(t.TempDir(), FileName)
	w := open(t, path)
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 50 {
				if err := w.Write(&Event{Step: int64(i), Event: EventNote, Text: strings.Repeat("x", g)}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	l, err := ReadFile(path)
	if err != nil || len(l.Events) != 200 {
		t.Errorf("%d events, %v, want 200", len(l.Events), err)
	}
}

func TestClosed(t *testing.T) {
	w := open(t, filepath.Join(t.TempDir(), FileName))
	if err := errors.Join(w.Sync(), w.Close(), w.Close()); err != nil {
		t.Fatal(err)
	}
	if err := w.Write(train(1, 1)); !errors.Is(err, os.ErrClosed) {
		t.Errorf("write after close: %v, want %v", err, os.ErrClosed)
	}
}

func TestAFullDiskLeavesNoHalfLine(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("no /dev/full here")
	}
	f, err := os.OpenFile("/dev/full", os.O_RDWR, 0)
	if err != nil {
		t.Skip(err)
	}
	w := &Writer{file: f}
	defer w.Close()
	if err := w.Write(train(1, 1)); err == nil || !strings.Contains(err.Error(), "/dev/full") || w.end != 0 {
		t.Errorf("error %v, end %d, want an error that names the file, and 0", err, w.end)
	}
}
