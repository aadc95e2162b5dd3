package agent

import (
	"bytes"
	"errors"
	"testing"
)

func put(b []byte) func([]byte) ([]byte, error) {
	return func(memory []byte) ([]byte, error) { return append(memory[:0], b...), nil }
}

func remembers(t *testing.T, m *memory, want []byte) {
	t.Helper()
	got, err := m.Load()
	if err != nil || !bytes.Equal(got, want) {
		t.Fatalf("%.20q (%d bytes), %v, want %.20q (%d bytes)", got, len(got), err, want, len(want))
	}
}

func TestMemory(t *testing.T) {
	m, err := newMemory()
	if err != nil {
		t.Fatal(err)
	}
	defer m.close()
	remembers(t, m, nil)
	big := bytes.Repeat([]byte("state"), 5000)
	for _, b := range [][]byte{[]byte("one"), []byte("two"), big, {}, big[:4096], big[1:]} {
		if err := m.Keep(put(b)); err != nil {
			t.Fatal(err)
		}
		remembers(t, m, b)
	}
	newest := big[1:]

	// Who fails on the way leaves the last one.
	full := errors.New("device lost")
	if err := m.Keep(func([]byte) ([]byte, error) { return nil, full }); !errors.Is(err, full) {
		t.Errorf("%v, want %v", err, full)
	}
	remembers(t, m, newest)
}

// Whatever a worker that dies had written of a state, and whatever became of
// the newest, what is loaded is whole.
func TestMemoryOfTheDead(t *testing.T) {
	first, second := bytes.Repeat([]byte("1"), 9000), bytes.Repeat([]byte("2"), 9000)
	for _, c := range []struct {
		name string
		at   int
		want []byte
	}{
		{"number", 0, first}, {"size", 15, first}, {"digest", 40, first}, {"state", bodyAt + 8999, first}, {"behind it", bodyAt + 9000, second},
	} {
		m, err := newMemory()
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range [][]byte{first, second} {
			if err := m.Keep(put(b)); err != nil {
				t.Fatal(err)
			}
		}
		for i := range m.halves {
			if h := &m.halves[i]; h.number() == 2 {
				h.mem[c.at] ^= 0x80
			}
		}
		t.Run(c.name, func(t *testing.T) { remembers(t, m, c.want) })
		m.close()
	}
}

// Another process would see the same files through mappings of its own.
func TestMemoryIsShared(t *testing.T) {
	a, err := newMemory()
	if err != nil {
		t.Fatal(err)
	}
	defer a.close()
	b := new(memory)
	for i := range b.halves {
		b.halves[i].file = a.halves[i].file
		defer b.halves[i].unmap()
	}
	for n := 1; n < 20000; n = n*3 + 1 {
		state := bytes.Repeat([]byte{byte(n)}, n)
		if err := a.Keep(put(state)); err != nil {
			t.Fatal(err)
		}
		remembers(t, b, state)
		a, b = b, a
	}
}
