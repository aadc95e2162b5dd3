package checkpoint_test

import (
	"errors"
	"io/fs"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	. "github.com/espalier-ml/espalier/trainer/checkpoint"
	"github.com/espalier-ml/espalier/trainer/checkpoint/checkpointtest"
)

func TestLatestPassesOverDamage(t *testing.T) {
	const state = "state-00000-of-00001.safetensors"
	cut := func(b []byte) []byte { return b[:len(b)-1] }
	for _, c := range []struct {
		name   string
		damage func(m *checkpointtest.Memory, newest string) error
		want   string
	}{
		{"no manifest", func(m *checkpointtest.Memory, p string) error { return m.Remove(p + "/manifest.json") }, "manifest.json"},
		{"manifest cut", func(m *checkpointtest.Memory, p string) error { return m.Corrupt(p+"/manifest.json", cut) }, "manifest.json: cut short"},
		{"manifest empty", func(m *checkpointtest.Memory, p string) error {
			return m.Corrupt(p+"/manifest.json", func([]byte) []byte { return nil })
		}, "manifest.json"},
		{"state missing", func(m *checkpointtest.Memory, p string) error { return m.Remove(p + "/" + state) }, state},
		{"state cut", func(m *checkpointtest.Memory, p string) error { return m.Corrupt(p+"/"+state, cut) }, state},
		{"state longer", func(m *checkpointtest.Memory, p string) error {
			return m.Corrupt(p+"/"+state, func(b []byte) []byte { return append(b, 0) })
		}, state},
		{"state altered", func(m *checkpointtest.Memory, p string) error {
			return m.Corrupt(p+"/"+state, func(b []byte) []byte { b[len(b)-1] ^= 1; return b })
		}, state + `: tensor "mask"`},
		{"state of another step", func(m *checkpointtest.Memory, p string) error {
			other, err := m.Bytes("/run/checkpoints/step-00000001/" + state)
			return errors.Join(err, m.Corrupt(p+"/"+state, func([]byte) []byte { return other }))
		}, state + ": tensor"},
		{"folder renamed", func(m *checkpointtest.Memory, p string) error {
			return m.Rename(p, "/run/checkpoints/step-00000003")
		}, "manifest is of step 2"},
	} {
		s, mem := memory()
		if err := c.damage(mem, save(t, s, 1, 2)); err != nil {
			t.Fatal(err)
		}
		path, skipped, err := s.Latest()
		if err != nil || filepath.Base(path) != "step-00000001" {
			t.Errorf("%s: latest is %q, %v", c.name, path, err)
		}
		if len(skipped) != 1 || !errors.Is(skipped[0], ErrDamaged) || !strings.Contains(skipped[0].Error(), c.want) {
			t.Errorf("%s: skipped %v, want one error with %q", c.name, skipped, c.want)
		}
		st, path2, skipped2, err := s.LoadLatest()
		if err != nil || path2 != path || len(skipped2) != 1 || !reflect.DeepEqual(st, stateAt(1)) {
			t.Errorf("%s: load latest: %v %s %v %v", c.name, st.Meta, path2, skipped2, err)
		}
	}
}

func TestLatestOfNothing(t *testing.T) {
	s, mem := memory()
	if _, skipped, err := s.Latest(); !errors.Is(err, ErrNone) || skipped != nil {
		t.Errorf("no folder: %v %v, want ErrNone", skipped, err)
	}
	path := save(t, s, 1)
	if err := mem.Remove(path + "/manifest.json"); err != nil {
		t.Fatal(err)
	}
	st, _, skipped, err := s.LoadLatest()
	if !errors.Is(err, ErrNone) || len(skipped) != 1 || st.Tensors != nil {
		t.Errorf("a damaged one: %v %v, want ErrNone and one reason", skipped, err)
	}
}

// An I/O error isn't damage, but no reason to give up older checkpoints either.
func TestLatestPassesOverUnreadable(t *testing.T) {
	s, mem := memory()
	save(t, s, 1, 2)
	s.FS = &checkpointtest.Faulty{FS: mem, Before: func(op checkpointtest.Op) error {
		if op.Kind == "read" && strings.Contains(op.Path, "step-00000002") {
			return fs.ErrPermission
		}
		return nil
	}}
	path, skipped, err := s.Latest()
	if err != nil || filepath.Base(path) != "step-00000001" || len(skipped) != 1 {
		t.Fatalf("%s %v %v", path, skipped, err)
	}
	if !errors.Is(skipped[0], fs.ErrPermission) || errors.Is(skipped[0], ErrDamaged) {
		t.Errorf("skipped because %v", skipped[0])
	}
	if err := s.Prune(1); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("prune: %v, want the reason why it can't judge step 2", err)
	}
	if got := names(t, s); got != "step-00000001 step-00000002" {
		t.Errorf("prune left %s", got)
	}
}

// No altered bit goes unnoticed, in any file, nor does any missing end.
func TestEveryBitCounts(t *testing.T) {
	s, mem := memory()
	s.Files = 2
	path := save(t, s, 1)
	list, _ := s.FS.Names(path)
	for _, name := range list {
		file := filepath.Join(path, name)
		whole, err := mem.Bytes(file)
		if err != nil {
			t.Fatal(err)
		}
		put := func(b []byte) {
			if err := mem.Corrupt(file, func([]byte) []byte { return b }); err != nil {
				t.Fatal(err)
			}
		}
		for i := range whole {
			b := slices.Clone(whole)
			b[i] ^= 1 << (i % 8)
			put(b)
			if err := s.Verify(path); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), name) {
				t.Fatalf("%s: byte %d altered: %v", name, i, err)
			}
			put(whole[:i])
			if err := s.Verify(path); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), name) {
				t.Fatalf("%s: cut at %d: %v", name, i, err)
			}
		}
		put(whole)
	}
	if err := s.Verify(path); err != nil {
		t.Error(err)
	}
}
