package control_test

import (
	"context"
	"errors"
	"testing"

	"github.com/espalier-ml/espalier/cluster"
	"github.com/espalier-ml/espalier/cluster/control"
	"github.com/espalier-ml/espalier/cluster/control/storetest"
)

var _ cluster.Store = (*control.Memory)(nil)

func TestMemoryIsAStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) (a, b cluster.Store) {
		m := control.NewMemory()
		h := m.Handle()
		t.Cleanup(func() { m.Close(); h.Close() })
		return m, h
	})
}

func TestMemoryFaults(t *testing.T) {
	lost := errors.New("lost")
	fail := func(op control.Op, key string) error { return lost }
	ctx := context.Background()
	for _, c := range []struct {
		name    string
		inject  func(m *control.Memory)
		want    error
		written bool
	}{
		{"none", func(m *control.Memory) {}, nil, true},
		{"error before", func(m *control.Memory) { m.Inject(control.Faults{Before: fail}) }, lost, false},
		{"error after success", func(m *control.Memory) { m.Inject(control.Faults{After: fail}) }, lost, true},
		{"outage", func(m *control.Memory) { m.Outage(true) }, control.ErrUnavailable, false},
		{"outage that ended", func(m *control.Memory) { m.Outage(true); m.Outage(false) }, nil, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := control.NewMemory()
			c.inject(m)
			if _, err := m.Create(ctx, "k", nil); !errors.Is(err, c.want) {
				t.Errorf("create: %v, want %v", err, c.want)
			}
			_, err := m.Handle().Get(ctx, "k")
			if written := err == nil; written != c.written {
				t.Errorf("written: %v, want %v", written, c.written)
			}
		})
	}
}

func TestMemoryStaleReads(t *testing.T) {
	ctx := context.Background()
	m := control.NewMemory()
	rev, err := m.Create(ctx, "k", []byte("old"))
	if err != nil {
		t.Fatal(err)
	}
	if rev, err = m.Update(ctx, "k", []byte("new"), rev); err != nil {
		t.Fatal(err)
	}
	for behind, want := range []string{"new", "old", ""} {
		m.Inject(control.Faults{Stale: func(string) int { return behind }})
		e, err := m.Get(ctx, "k")
		if string(e.Value) != want || (want == "") != errors.Is(err, cluster.ErrNotFound) {
			t.Errorf("%d behind: %q, %v, want %q", behind, e.Value, err, want)
		}
		if e.Rev == rev {
			continue
		}
		if _, err := m.Update(ctx, "k", nil, e.Rev); !errors.Is(err, cluster.ErrConflict) {
			t.Errorf("%d behind: update at what was read: %v", behind, err)
		}
	}
}

func TestMemoryWatchGoesOnAfterAnOutage(t *testing.T) {
	ctx := t.Context()
	m := control.NewMemory()
	w, err := m.Watch(ctx, "")
	if err != nil {
		t.Fatal(err)
	}
	m.Outage(true)
	if _, err := m.Handle().Create(ctx, "k", []byte("meanwhile")); err != nil {
		t.Fatal(err)
	}
	m.Outage(false)
	if e := <-w; string(e.Value) != "meanwhile" {
		t.Fatalf("got %+v", e)
	}
}
