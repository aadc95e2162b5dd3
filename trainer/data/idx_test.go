package data

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"
)

// idxBytes writes an idx file.
func idxBytes(data []byte, dims ...int) []byte {
	b := []byte{0, 0, idxUbyte, byte(len(dims))}
	for _, d := range dims {
		b = binary.BigEndian.AppendUint32(b, uint32(d))
	}
	return append(b, data...)
}

// edit returns b with one byte changed.
func edit(b []byte, at int, v byte) []byte {
	b = bytes.Clone(b)
	b[at] = v
	return b
}

func TestReadIDX(t *testing.T) {
	good := idxBytes([]byte{1, 2, 3, 4, 5, 6}, 3, 2)
	for _, c := range []struct {
		name string
		in   []byte
		want string // of the error, "" = none
	}{
		{"good", good, ""},
		{"empty", nil, "header: 0 bytes, want 12"},
		{"header cut", good[:7], "header: 7 bytes, want 12"},
		{"no zero bytes", edit(good, 0, 0x1f), "not an idx file: starts with bytes 1f 00"},
		{"floats", edit(good, 2, 0x0d), "idx type 0x0d, want 0x08"},
		{"dimensions", edit(good, 3, 3), "3 idx dimensions, want 2"},
		{"size", edit(good, 7, 4), "idx dimension 0 is 4, want 3"},
		{"giant", edit(good, 4, 0xff), "idx dimension 0 is 4278190083, want 3"},
		{"values cut", good[:16], "16 bytes, want 18"},
		{"trailing byte", append(bytes.Clone(good), 0), "more than the 18 bytes wanted"},
	} {
		got, err := readIDX(bytes.NewReader(c.in), 3, 2)
		switch {
		case c.want == "" && (err != nil || !bytes.Equal(got, []byte{1, 2, 3, 4, 5, 6})):
			t.Errorf("%s: %v, error %v", c.name, got, err)
		case c.want != "" && (err == nil || !strings.HasPrefix(err.Error(), c.want)):
			t.Errorf("%s: error %v, want %q", c.name, err, c.want)
		}
	}
}

func TestReadErrorsKeepTheirCause(t *testing.T) {
	cause := errors.New("disk on fire")
	r := readFunc(func([]byte) (int, error) { return 0, cause })
	if _, err := readIDX(r, 2); !errors.Is(err, cause) {
		t.Errorf("idx: %v", err)
	}
	if err := testCIFAR.readRecords(r, make([]byte, 3072), make([]byte, 1)); !errors.Is(err, cause) {
		t.Errorf("cifar: %v", err)
	}
}

func FuzzIDX(f *testing.F) {
	f.Add(idxBytes([]byte{1, 2, 3, 4, 5, 6}, 3, 2))
	f.Add(idxBytes(nil, 3, 2))
	f.Add([]byte{0, 0, 8, 2, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, in []byte) {
		got, err := readIDX(bytes.NewReader(in), 3, 2)
		if (err == nil) != (len(in) == 18 && bytes.Equal(in[:12], idxBytes(nil, 3, 2))) {
			t.Fatalf("% x: error %v", in, err)
		}
		if err == nil && !bytes.Equal(got, in[12:]) {
			t.Fatalf("% x: values % x", in, got)
		}
	})
}
