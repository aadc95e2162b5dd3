package node_test

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/espalier-ml/espalier/cluster"
	"github.com/espalier-ml/espalier/cluster/gen"
	"github.com/espalier-ml/espalier/cluster/node"
)

func memory(t testing.TB) gen.Memory {
	t.Helper()
	r := &gen.Record{N: 1, Phase: gen.Running, Nodes: []cluster.Node{{ID: "a", Boot: "1", Workers: []string{"h:1"}}}}
	m := gen.Memory{N: 1, Chain: r.Link().Chain(), Last: r, Links: []gen.Link{r.Link()}}
	if err := m.Check(); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestMemoryIsKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "memory")
	if m, err := node.Load(path); err != nil || m.N != 0 {
		t.Fatalf("no file: generation %d, %v", m.N, err)
	}
	want := memory(t)
	for range 2 { // over an older one too
		if err := node.Save(path, want); err != nil {
			t.Fatal(err)
		}
	}
	got, err := node.Load(path)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("%+v, %v; want %+v", got, err, want)
	}
	if files, _ := os.ReadDir(filepath.Dir(path)); len(files) != 1 {
		t.Fatalf("%d files are left", len(files))
	}
	if err := node.Save(filepath.Join(path, "x"), want); err == nil {
		t.Fatal("kept in a folder that is none")
	}
}

func TestDamagedMemoryIsAnError(t *testing.T) {
	path := filepath.Join(t.TempDir(), "memory")
	if err := node.Save(path, memory(t)); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range whole {
		bad := []byte(string(whole))
		bad[i] ^= 1
		for _, b := range [][]byte{bad, whole[:i]} {
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := node.Load(path); !errors.Is(err, node.ErrDamaged) || !strings.Contains(err.Error(), path) {
				t.Fatalf("byte %d of %d: %v", i, len(whole), err)
			}
		}
	}
	if _, err := node.New(t.Context(), node.Config{Self: cluster.Node{ID: "a"}, Path: path}); err == nil {
		t.Fatal("a session without a store")
	}
}

func FuzzLoad(f *testing.F) {
	path := filepath.Join(f.TempDir(), "memory")
	if err := node.Save(path, memory(f)); err != nil {
		f.Fatal(err)
	}
	b, _ := os.ReadFile(path)
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		path := filepath.Join(t.TempDir(), "memory")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if m, err := node.Load(path); err == nil && m.Check() != nil {
			t.Fatal("taken, but not good")
		}
	})
}
