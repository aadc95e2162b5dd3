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

// The loop that Normal stands for.
func normalLoop(k Key, c Counter, scale float32, dst []float32) {
	for j := range dst {
		at := c
		at[1] += uint32(j / 4)
		dst[j] = scale * Normals(k.At(at))[j%4]
	}
}

func TestNormalIsTheLoopOverNormals(t *testing.T) {
	const scale = 0.37
	check := func(k Key, c Counter, n int) {
		t.Helper()
		got, want := make([]float32, n+1), make([]float32, n)
		got[n] = 42
		k.Normal(c, scale, got[:n])
		normalLoop(k, c, scale, want)
		for j, w := range want {
			if math.Float32bits(got[j]) != math.Float32bits(w) {
				t.Fatalf("%d numbers from %v on: number %d is %v, want %v", n, c, j, got[j], w)
			}
		}
		if got[n] != 42 {
			t.Fatalf("%d numbers: wrote behind them", n)
		}
	}
	for n := range 70 {
		check(NewKey(uint64(n), "length"), Counter{3, 5, uint32(n), 7}, n)
	}
	for i := range uint32(200) { // some 800 000 numbers at scattered counters
		check(NewKey(uint64(i), "many"), Counter{i * 0x9E3779B9, i * 0x85EBCA6B, i, ^i}, 4096)
	}
	check(NewKey(1, "wrap"), Counter{1, math.MaxUint32 - 5, 0, 0}, 64)
}

func BenchmarkNormal(b *testing.B) {
	k, dst := NewKey(1, "bench"), make([]float32, 1<<12)
	b.SetBytes(int64(4 * len(dst)))
	for b.Loop() {
		k.Normal(Counter{}, 1, dst)
	}
}
