package checkpoint_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	. "github.com/espalier-ml/espalier/trainer/checkpoint"
)

func TestSeveralWriters(t *testing.T) {
	s, _ := memory()
	st := stateAt(4)
	d, err := s.Draft(4)
	if err != nil {
		t.Fatal(err)
	}
	parts := make([]Part, 3)
	for _, i := range []int{2, 0, 1} { // in any order, as ranks do
		group := st.Tensors[min(2*i, 5):min(2*i+2, 5)]
		p, err := s.WritePart(d.Folder(), i, 3, group)
		if err != nil {
			t.Fatal(err)
		}
		wire, err := json.Marshal(p) // parts travel to the one who commits
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(wire, &parts[i]); err != nil {
			t.Fatal(err)
		}
	}
	path, err := d.Commit(st.Meta, parts)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := s.Load(path); err != nil || !reflect.DeepEqual(got, st) {
		t.Errorf("loaded %+v, %v", got, err)
	}
}

func TestCommitRefuses(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(m *Meta, parts []Part) []Part
		want   string
	}{
		{"no parts", func(m *Meta, p []Part) []Part { return nil }, "no files"},
		{"a part missing", func(m *Meta, p []Part) []Part { return p[:1] }, "state-00000-of-00001"},
		{"parts swapped", func(m *Meta, p []Part) []Part { p[0], p[1] = p[1], p[0]; return p }, "state-00000-of-00002"},
		{"another step", func(m *Meta, p []Part) []Part { m.Step = 5; return p }, "step 5"},
	} {
		s, _ := memory()
		st := stateAt(4)
		d, err := s.Draft(4)
		if err != nil {
			t.Fatal(err)
		}
		a, errA := s.WritePart(d.Folder(), 0, 2, st.Tensors[:2])
		b, errB := s.WritePart(d.Folder(), 1, 2, st.Tensors[2:])
		if err := errors.Join(errA, errB); err != nil {
			t.Fatal(err)
		}
		parts := c.change(&st.Meta, []Part{a, b})
		if _, err := d.Commit(st.Meta, parts); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want an error with %q", c.name, err, c.want)
		}
		if got := names(t, s); got != "" {
			t.Errorf("%s: left %s", c.name, got)
		}
	}
}
