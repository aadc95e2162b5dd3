package checkpoint

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

func sealed(body string) []byte {
	return []byte(envelopeHead + Sum(sha256.Sum256([]byte(body))).String() + envelopeMid + body + envelopeTail)
}

func goodManifest() manifest {
	part := Part{Name: partName(0, 1), Bytes: 129, Tensors: []Record{record(Tensor{"t", U8, []int{1}, []byte{1}})}}
	return manifest{manifestFormat, manifestVersion, Meta{Step: 1, Digest: digestRecords(part.Tensors)}, []Part{part}}
}

// A manifest whose sum is right may still come from elsewhere.
func TestManifestBody(t *testing.T) {
	good, err := json.Marshal(goodManifest())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, old, new, want string }{
		{"as it is", "", "", ""},
		{"another format", manifestFormat, "other", `format "other"`},
		{"newer version", `"version":1`, `"version":2,"new":true`, "version 2, this build reads 1"},
		{"unknown field", `"version":1`, `"version":1,"new":true`, `"new"`},
		{"path in file name", "state-00000-of-00001", "../state-00000-of-00001", "want state-00000-of-00001"},
		{"other file name", "state-00000-of-00001", "state-00000-of-00002", "want state-00000-of-00001"},
		{"dtype", `"U8"`, `"X8"`, "unknown dtype"},
		{"negative shape", `"shape":[1]`, `"shape":[-1]`, "shape"},
		{"digest", `"shape":[1]`, `"shape":[1,1]`, "digest"},
		{"short sum", `"digest":"`, `"digest":"00`, "checksum"},
		{"no JSON", `}`, `]`, "invalid character"},
	} {
		body := strings.Replace(string(good), c.old, c.new, 1)
		_, err := decodeManifest(sealed(body))
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v, want an error with %q", c.name, err, c.want)
		}
	}
}

func TestNewerVersionIsNoDamage(t *testing.T) {
	err := loadError("step-00000001", errorOf(decodeManifest(sealed(`{"format":"espalier checkpoint","version":9}`))))
	if !errors.Is(err, ErrVersion) || errors.Is(err, ErrDamaged) {
		t.Error(err)
	}
}

func errorOf(_ manifest, err error) error { return err }

func FuzzManifest(f *testing.F) {
	good, err := json.Marshal(goodManifest())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Fuzz(func(t *testing.T, body []byte) {
		m, err := decodeBody(body)
		if err != nil {
			return
		}
		text, err := m.encode()
		if err != nil {
			t.Fatalf("accepted, but can't be written: %v", err)
		}
		if _, err := decodeManifest(text); err != nil {
			t.Fatalf("accepted, but not when written again: %v", err)
		}
	})
}

func TestSplit(t *testing.T) {
	sized := func(sizes ...int) (list []Tensor) {
		for _, n := range sizes {
			list = append(list, Tensor{Data: make([]byte, n)})
		}
		return list
	}
	for _, c := range []struct {
		in   []Tensor
		n    int
		want []int // tensors in each group
	}{
		{sized(1, 1, 1, 1), 2, []int{2, 2}},
		{sized(100, 1, 1, 1), 2, []int{1, 3}},
		{sized(1, 1, 1, 100), 2, []int{4, 0}},
		{sized(5, 5, 5), 1, []int{3}},
		{sized(0, 0), 2, []int{0, 2}},
		{sized(), 3, []int{0, 0, 0}},
		{sized(4, 4), 4, []int{1, 0, 1, 0}},
	} {
		for i, g := range split(c.in, c.n) {
			if len(g) != c.want[i] {
				t.Errorf("%d tensors in %d: group %d has %d, want %v", len(c.in), c.n, i, len(g), c.want)
			}
		}
	}
}
