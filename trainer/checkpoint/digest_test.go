package checkpoint_test

import (
	"slices"
	"testing"

	. "github.com/espalier-ml/espalier/trainer/checkpoint"
)

func TestDigestIgnoresOrder(t *testing.T) {
	tensors := everyType()
	want := Digest(tensors)
	slices.Reverse(tensors)
	if got := Digest(tensors); got != want {
		t.Errorf("reversed: %v, want %v", got, want)
	}
}

func TestDigestSeesEveryChange(t *testing.T) {
	base := func() []Tensor {
		return []Tensor{{"a", F32, []int{2, 3}, make([]byte, 24)}, {"b", U8, []int{1}, []byte{0}}}
	}
	seen := map[Sum]string{Digest(base()): "unchanged"}
	for _, c := range []struct {
		name   string
		change func([]Tensor) []Tensor
	}{
		{"one bit", func(l []Tensor) []Tensor { l[0].Data[23] = 1; return l }},
		{"the sign of zero", func(l []Tensor) []Tensor { l[0].Data[3] = 0x80; return l }},
		{"transposed shape", func(l []Tensor) []Tensor { l[0].Shape = []int{3, 2}; return l }},
		{"flattened", func(l []Tensor) []Tensor { l[0].Shape = []int{6}; return l }},
		{"rank", func(l []Tensor) []Tensor { l[0].Shape = []int{1, 2, 3}; return l }},
		{"type", func(l []Tensor) []Tensor { l[0].DType = I32; return l }},
		{"name", func(l []Tensor) []Tensor { l[0].Name = "c"; return l }},
		{"names swapped", func(l []Tensor) []Tensor { l[0].Name, l[1].Name = "b", "a"; return l }},
		{"one more", func(l []Tensor) []Tensor { return append(l, Tensor{"c", U8, []int{0}, nil}) }},
		{"one less", func(l []Tensor) []Tensor { return l[:1] }},
		{"none", func(l []Tensor) []Tensor { return nil }},
	} {
		d := Digest(c.change(base()))
		if other, ok := seen[d]; ok {
			t.Errorf("%s: same digest as %s", c.name, other)
		}
		seen[d] = c.name
	}
}

// The encoding is part of the format: runs of different builds compare it.
// The value was computed from the description at Digest with another SHA-256.
func TestDigestGolden(t *testing.T) {
	const want = "ef68358cfa646d028842b787f6a5f73b31f59b531bfbc7175d811610b8416cca"
	got := Digest([]Tensor{
		{"w", F32, []int{1, 2}, []byte{0, 0, 128, 63, 0, 0, 0, 64}},
		{"b", I64, []int{}, []byte{1, 0, 0, 0, 0, 0, 0, 0}},
	})
	if got.String() != want {
		t.Errorf("%v, want %s", got, want)
	}
}

func TestSumText(t *testing.T) {
	text := "00000000000000000000000000000000000000000000000000000000000000ab"
	var s Sum
	if err := s.UnmarshalText([]byte(text)); err != nil || s != (Sum{31: 0xab}) {
		t.Errorf("%v, %v", s, err)
	}
	for _, bad := range []string{"", text[:63], text[:62], text + "00", text[:62] + "AB", text[:62] + "xy"} {
		if err := s.UnmarshalText([]byte(bad)); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}
