package data

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// countingForm counts how often files are decoded.
type countingForm struct {
	imageForm
	reads atomic.Int32
}

func (f *countingForm) read(name string, files []packed, test bool) (*Images, error) {
	f.reads.Add(1)
	return f.imageForm.read(name, files, test)
}

func (f *countingForm) open(o Opener, name string) (*Dataset, error) {
	return openImages(o, name, f, []string{"data_batch_1.bin", "data_batch_2.bin", "test_batch.bin"})
}

func countingOpener(t *testing.T) (Opener, *countingForm) {
	f := &countingForm{imageForm: testCIFAR}
	o := testOpener(t, place(t, "cifar10", smallCIFAR(t)))
	o.sets = map[string]form{"cifar10": f}
	return o, f
}

func TestDataIsUnpackedOnce(t *testing.T) {
	path := func(o Opener, name string) string { return filepath.Join(o.Cache, name) }
	for _, c := range []struct {
		name  string
		spoil func(o Opener) error
		reads int32 // of the second Open: 0, or the splits that must be decoded again
	}{
		{"untouched", func(Opener) error { return nil }, 0},
		{"pixel altered", func(o Opener) error { return flipByte(path(o, "cifar10-train.images"), 5000) }, 1},
		{"label altered", func(o Opener) error { return flipByte(path(o, "cifar10-test.images"), cacheHeader) }, 1},
		{"header altered", func(o Opener) error { return flipByte(path(o, "cifar10-train.images"), 45) }, 1},
		{"cut", func(o Opener) error { return os.Truncate(path(o, "cifar10-train.images"), 6000) }, 1},
		{"removed", func(o Opener) error { return os.Remove(path(o, "cifar10-test.images")) }, 1},
		{"swapped", func(o Opener) error {
			return os.Rename(path(o, "cifar10-train.images"), path(o, "cifar10-test.images"))
		}, 2},
		{"source newer", func(o Opener) error {
			at := time.Unix(1e9, 0)
			return os.Chtimes(filepath.Join(o.Dir, "cifar10", "data_batch_2.bin"), at, at)
		}, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			o, f := countingOpener(t)
			first, err := o.Open("cifar10")
			if err != nil {
				t.Fatal(err)
			}
			pix := bytes.Clone(first.Images.Train.Pix)
			if err := c.spoil(o); err != nil {
				t.Fatal(err)
			}
			f.reads.Store(0)
			again, err := o.Open("cifar10")
			if err != nil {
				t.Fatal(err)
			}
			if n := f.reads.Load(); n != c.reads {
				t.Errorf("second Open decodes %d splits, want %d", n, c.reads)
			}
			if !bytes.Equal(again.Images.Train.Pix, pix) || !bytes.Equal(again.Images.Test.Label, []byte{5}) {
				t.Error("second Open gives other data")
			}
			if left, _ := filepath.Glob(path(o, "*.tmp")); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

func flipByte(path string, at int) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	b[at] ^= 1
	// A new file, as a rename would leave: the old one is mapped.
	if err := os.Remove(path); err != nil {
		return err
	}
	return os.WriteFile(path, b, 0o644)
}

func TestDataOpensWithoutACache(t *testing.T) {
	o, f := countingOpener(t)
	o.Cache = filepath.Join(o.Dir, "cifar10", "data_batch_2.bin", "sub") // below a file
	d, err := o.Open("cifar10")
	if err != nil || d.Images.Train.N != 4 || f.reads.Load() != 2 {
		t.Errorf("%d reads, error %v", f.reads.Load(), err)
	}
	o.Cache = ""
	t.Setenv(EnvCache, "")
	t.Setenv("XDG_CACHE_HOME", "")
	t.Setenv("HOME", "")
	if d, err = o.Open("cifar10"); err != nil || d.Images.Train.N != 4 {
		t.Errorf("no home: error %v", err)
	}
}

func TestOpenersThatMeetDecodeOnce(t *testing.T) {
	o, f := countingOpener(t)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if _, err := o.Open("cifar10"); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := f.reads.Load(); n != 2 {
		t.Errorf("%d splits decoded, want 2", n)
	}
}

func TestReplaceLeavesTheOldFileOnError(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x")
	if err := os.WriteFile(path, []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	err := replace(path, func(f *os.File) error {
		f.WriteString("half of the n")
		return os.ErrInvalid
	})
	if err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("error %v", err)
	}
	entries, _ := os.ReadDir(filepath.Dir(path))
	if b, _ := os.ReadFile(path); string(b) != "old" || len(entries) != 1 {
		t.Errorf("file holds %q, folder %v", b, entries)
	}
}
