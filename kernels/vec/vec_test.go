package vec

import (
	"fmt"
	"math"
	"testing"
)

// Every length around the block sizes, at every alignment, against the plain
// loops, bit for bit; the elements beyond the slice must stay as they were.
func TestSameBitsAsLoops(t *testing.T) {
	const guard = 9
	for n := 0; n <= 100; n++ {
		for off := range 8 {
			t.Run(fmt.Sprintf("n=%d,off=%d", n, off), func(t *testing.T) {
				got, want := make([][]float32, 5), make([][]float32, 5)
				for k := range got {
					got[k] = samples(off+n+guard, uint32(k+1))
					want[k] = append([]float32(nil), got[k]...)
				}
				cut := func(v [][]float32, k int) []float32 { return v[k][off : off+n] }

				Add(cut(got, 4), cut(got, 0), cut(got, 1))
				addLoop(cut(want, 4), cut(want, 0), cut(want, 1))
				equal(t, "Add", got, want)

				AddTo(cut(got, 0), cut(got, 4))
				addLoop(cut(want, 0), cut(want, 0), cut(want, 4))
				equal(t, "AddTo", got, want)

				Share2(cut(got, 1), cut(got, 2))
				share2Loop(cut(want, 1), cut(want, 2))
				equal(t, "Share2", got, want)

				Share4(cut(got, 0), cut(got, 1), cut(got, 3), cut(got, 4))
				share4Loop(cut(want, 0), cut(want, 1), cut(want, 3), cut(want, 4))
				equal(t, "Share4", got, want)
			})
		}
	}
}

func TestSpecialValues(t *testing.T) {
	inf := float32(math.Inf(1))
	tests := []struct{ a, b, want float32 }{
		{inf, 1, inf},
		{math.MaxFloat32, math.MaxFloat32, inf},
		{1e-45, 1e-45, 3e-45}, // denormal numbers are not flushed
		{1, 5e-8, 1},          // below half a unit: round to even
		{float32(math.Copysign(0, -1)), float32(math.Copysign(0, -1)), float32(math.Copysign(0, -1))},
	}
	for _, tt := range tests {
		a, b, dst := make([]float32, 8), make([]float32, 8), make([]float32, 8)
		for i := range a {
			a[i], b[i] = tt.a, tt.b
		}
		Add(dst, a, b)
		if math.Float32bits(dst[0]) != math.Float32bits(tt.want) || math.Float32bits(dst[7]) != math.Float32bits(tt.want) {
			t.Errorf("%g + %g = %g, want %g", tt.a, tt.b, dst[0], tt.want)
		}
	}
}

func TestDifferentLengthsPanic(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic for slices of different lengths")
		}
	}()
	Share2(make([]float32, 8), make([]float32, 9))
}

func BenchmarkAdd(b *testing.B) {
	for _, n := range []int{1 << 12, 1 << 22} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			x, y := samples(n, 1), samples(n, 2)
			b.SetBytes(int64(n) * 4)
			for b.Loop() {
				AddTo(x, y)
			}
		})
	}
}

// samples are numbers of very different sizes, so that any other order of
// additions would show.
func samples(n int, seed uint32) []float32 {
	v := make([]float32, n)
	x := seed * 2654435761
	for i := range v {
		x ^= x << 13
		x ^= x >> 17
		x ^= x << 5
		v[i] = float32(int32(x)) * float32(math.Ldexp(1, int(x%40)-50))
	}
	return v
}

func equal(t *testing.T, what string, got, want [][]float32) {
	t.Helper()
	for k := range got {
		for i := range got[k] {
			if math.Float32bits(got[k][i]) != math.Float32bits(want[k][i]) {
				t.Fatalf("%s: vector %d element %d: %g, want %g", what, k, i, got[k][i], want[k][i])
			}
		}
	}
}
