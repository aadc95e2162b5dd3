package checkpointtest

import (
	"errors"
	"io/fs"
	"testing"
)

// What is found after a crash, by what was synced before it.
func TestCrash(t *testing.T) {
	for _, c := range []struct {
		name               string
		syncFile, syncDir  bool
		variant            uint64
		content            string
		found              bool
		renamed, syncAgain bool
	}{
		{name: "nothing synced", variant: 0, found: false},
		{name: "only the file", syncFile: true, variant: 0, found: false},
		{name: "only the folder", syncDir: true, variant: 0, found: true, content: ""},
		{name: "both", syncFile: true, syncDir: true, variant: 0, found: true, content: "abc"},
		{name: "only the process died", variant: 1, found: true, content: "abc"},
		{name: "renamed", syncFile: true, syncDir: true, renamed: true, variant: 0, found: true, content: "abc"},
		{name: "renamed and synced", syncFile: true, syncDir: true, renamed: true, syncAgain: true, variant: 0, found: false},
	} {
		m := NewMemory()
		f, err := m.Create("/a")
		if err != nil {
			t.Fatal(err)
		}
		_, err = f.Write([]byte("abc"))
		if c.syncFile {
			err = errors.Join(err, f.Sync())
		}
		if c.syncDir {
			err = errors.Join(err, m.SyncDir("/"))
		}
		if c.renamed {
			err = errors.Join(err, m.Rename("/a", "/b"))
		}
		if c.syncAgain {
			err = errors.Join(err, m.SyncDir("/"))
		}
		if err != nil {
			t.Fatal(err)
		}
		after := m.Crash(c.variant)
		b, err := after.Bytes("/a")
		if found := !errors.Is(err, fs.ErrNotExist); found != c.found || string(b) != c.content {
			t.Errorf("%s: found %v with %q, want %v with %q", c.name, found, b, c.found, c.content)
		}
		if _, err := after.Bytes("/b"); (err == nil) != c.syncAgain {
			t.Errorf("%s: new name: %v", c.name, err)
		}
	}
}

// Variants beyond 1 reach different states of the disk.
func TestCrashVariants(t *testing.T) {
	m := NewMemory()
	f, err := m.Create("/a")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(make([]byte, 8)); err != nil {
		t.Fatal(err)
	}
	seen := map[int]bool{}
	for v := range uint64(300) {
		b, err := m.Crash(v).Bytes("/a")
		if err != nil {
			seen[-1] = true
		} else {
			seen[len(b)] = true
		}
	}
	if len(seen) != 10 {
		t.Errorf("states seen: %v, want lost and every length from 0 to 8", seen)
	}
}
