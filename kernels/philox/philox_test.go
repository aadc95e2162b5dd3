package philox

import (
	"math"
	"testing"
)

// The known answers published with the reference implementation (Random123,
// kat_vectors, philox4x32-10).
func TestKnownAnswers(t *testing.T) {
	const ff = 0xffffffff
	for _, c := range []struct {
		ctr  Counter
		key  Key
		want [4]uint32
	}{
		{Counter{}, Key{}, [4]uint32{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
		{Counter{ff, ff, ff, ff}, Key{ff, ff}, [4]uint32{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
		{Counter{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, Key{0xa4093822, 0x299f31d0},
			[4]uint32{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
	} {
		if got := c.key.At(c.ctr); got != c.want {
			t.Errorf("key %x counter %x: %x, want %x", c.key, c.ctr, got, c.want)
		}
	}
}

func TestKeysOfPurposesDiffer(t *testing.T) {
	seen := map[Key]string{}
	for _, p := range []string{"", "init", "dropout", "order", "augment", "grow"} {
		k := NewKey(1, p)
		if q, ok := seen[k]; ok {
			t.Errorf("%q and %q share a key", p, q)
		}
		seen[k] = p
		if k.With(0) == k || k.With(0) == k.With(1) {
			t.Errorf("%q: sub-streams meet", p)
		}
	}
}

func TestMomentsOfNormals(t *testing.T) {
	const n = 1 << 16
	k := NewKey(7, "test")
	var s, q float64
	for i := range uint64(n / 4) {
		for _, v := range Normals(k.Index(i)) {
			s += float64(v)
			q += float64(v) * float64(v)
		}
	}
	if m := s / n; math.Abs(m) > 4/math.Sqrt(n) {
		t.Errorf("mean %v", m)
	}
	if v := q / n; math.Abs(v-1) > 4*math.Sqrt(2.0/n) {
		t.Errorf("variance %v", v)
	}
}

func TestUniformStaysOpen(t *testing.T) {
	if lo, hi := Uniform(0), Uniform(math.MaxUint32); lo <= 0 || hi >= 1 {
		t.Errorf("range [%v, %v] touches 0 or 1", lo, hi)
	}
	if Below(math.MaxUint32, 10) != 9 || Below(0, 10) != 0 {
		t.Error("Below leaves [0, n)")
	}
}
