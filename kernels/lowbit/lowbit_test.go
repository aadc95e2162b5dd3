package lowbit

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/espalier-ml/espalier/kernels/philox"
)

// random gives words of a stream, one after another.
type random struct {
	key philox.Key
	at  uint64
}

func newRandom(purpose string) *random { return &random{key: philox.NewKey(7, purpose)} }

func (r *random) below(n int) int {
	r.at++
	return philox.Below(r.key.Index(r.at)[0], n)
}

func (r *random) codes(bits, n int) []byte {
	u := make([]byte, n)
	for i := range u {
		if bits == 8 {
			u[i] = byte(int8(r.below(255) - 127))
		} else {
			u[i] = byte(r.below(1 << bits))
		}
	}
	return u
}

// withBoth runs f on assembly, where there is some, and on portable Go.
func withBoth(t *testing.T, f func(t *testing.T)) {
	t.Run("fast", f)
	if !fast {
		return
	}
	setFast(false)
	defer setFast(true)
	t.Run("portable", f)
}

func TestPackAndUnpackAreInverse(t *testing.T) {
	r := newRandom("pack")
	for _, bits := range Widths {
		for _, s := range [][2]int{{1, 1}, {3, 31}, {4, 256}, {5, 257}, {9, 100}} {
			u := r.codes(bits, s[0]*s[1])
			got, err := Unpack(bits, s[0], s[1], Pack(bits, s[0], s[1], u))
			if err != nil || !slices.Equal(got, u) {
				t.Errorf("%d bits %v: %v, codes differ: %v", bits, s, err, !slices.Equal(got, u))
			}
		}
	}
}

func TestDamagedPackingIsRefused(t *testing.T) {
	good := Pack(2, 3, 100, make([]byte, 300))
	tail := slices.Clone(good)
	tail[3*32+5] = 1 // row 3 of 3
	for _, c := range []struct {
		name            string
		bits, n, k, act int
		packed          []byte
	}{
		{"width", 3, 3, 100, 8, good},
		{"short", 2, 3, 100, 8, good[:len(good)-1]},
		{"padding", 2, 3, 100, 8, tail},
		{"activations", 2, 3, 100, 5, good},
		{"no rows", 2, 0, 100, 8, nil},
		{"too large", 2, 1 << 20, 100, 8, nil},
		{"code -128", 8, 1, 1, 8, append([]byte{0x80}, make([]byte, 127)...)},
	} {
		if _, err := OpenMatrix(c.bits, c.n, c.k, c.act, c.packed); err == nil {
			t.Errorf("%s: no error", c.name)
		}
	}
}

// Products of every kernel are those of plain loops, the largest codes of full
// 16-bit windows included.
func TestDotsAreExact(t *testing.T) {
	r := newRandom("dots")
	fills := map[string]func(bits, act, n int) (u []byte, a func() int8){
		"random": func(bits, act, n int) ([]byte, func() int8) {
			most := Largest(act)
			return r.codes(bits, n), func() int8 { return int8(r.below(2*most+1) - most) }
		},
		"largest": func(bits, act, n int) ([]byte, func() int8) {
			return same(bits, n, true), func() int8 { return int8(Largest(act)) }
		},
		"lowest": func(bits, act, n int) ([]byte, func() int8) {
			low := int8(-Largest(act))
			if act == 8 {
				low = -128
			}
			return same(bits, n, true), func() int8 { return low }
		},
		"zero codes": func(bits, act, n int) ([]byte, func() int8) {
			return same(bits, n, false), func() int8 { return int8(Largest(act)) }
		},
	}
	shapes := [][3]int{{1, 1, 1}, {5, 31, 2}, {64, 256, 3}, {130, 4608, 1}, {67, 1000, 5}, {33, 9000, 2}}
	withBoth(t, func(t *testing.T) {
		for name, fill := range fills {
			for _, bits := range Widths {
				for _, act := range []int{8, 4} {
					for _, s := range shapes {
						n, k, tokens := s[0], s[1], s[2]
						u, a := fill(bits, act, n*k)
						m, err := NewMatrix(bits, n, k, act, u)
						if err != nil {
							t.Fatal(err)
						}
						x := NewTokens(tokens, m.Stride())
						for i := range tokens {
							for c := range k {
								x.Row(i)[c] = a()
							}
						}
						x.Sum(0, tokens)
						got, want := make([]int32, tokens*n), make([]int32, tokens*n)
						var space Space
						cut := (n / 2) / m.Unit() * m.Unit()
						m.Dots(got, x, 0, tokens, 0, cut, &space)
						m.Dots(got, x, 0, tokens, cut, n, &space)
						m.DotsPortable(want, x, 0, tokens)
						if !slices.Equal(got, want) {
							t.Errorf("%s W%dA%d %v: sums differ, first %d, want %d", name, bits, act, s, got[0], want[0])
						}
					}
				}
			}
		}
	})
}

func same(bits, n int, largest bool) []byte {
	u := make([]byte, n)
	if largest {
		for i := range u {
			u[i] = byte(1<<bits - 1)
			if bits == 8 {
				u[i] = 127
			}
		}
	}
	return u
}

func TestQuantizeRoundsToEven(t *testing.T) {
	withBoth(t, func(t *testing.T) {
		for _, bits := range []int{8, 4} {
			for _, n := range []int{1, 7, 32, 33, 100} {
				x, dst, rounded := make([]float32, n), make([]int8, n), make([]float32, n)
				most := Largest(bits)
				for i := range x {
					x[i] = float32(i%(4*most)-2*most) / 2 // halves in [-most, most]
				}
				x[0] = float32(-most)
				if d := Quantize(dst, x, bits); d != 1 {
					t.Fatalf("%d bits: step %v, want 1", bits, d)
				}
				Round(rounded, x, 1, bits)
				for i, v := range x {
					want := math.RoundToEven(float64(v))
					if float64(dst[i]) != want || float64(rounded[i]) != want {
						t.Errorf("%d bits: %v becomes code %d, number %v, want %v", bits, v, dst[i], rounded[i], want)
					}
				}
			}
		}
	})
}

func TestNoiseIsCounted(t *testing.T) {
	key, at := philox.NewKey(3, "noise"), philox.Counter{1 << 31, 7, 8, 9}
	withBoth(t, func(t *testing.T) {
		sum, squares, n := 0.0, 0.0, 4103
		dst := make([]float32, n)
		Noise(dst, key, at)
		for i, v := range dst {
			c := at
			c[0] += uint32(i / 4)
			if want := 2*philox.Uniform(key.At(c)[i%4]) - 1; v != want {
				t.Fatalf("element %d: %v, want %v", i, v, want)
			}
			sum, squares = sum+float64(v), squares+float64(v)*float64(v)
		}
		mean, variance := sum/float64(n), squares/float64(n)
		if math.Abs(mean) > 4*math.Sqrt(1.0/3/float64(n)) || math.Abs(variance-1.0/3) > 0.02 {
			t.Errorf("mean %v, variance %v: want 0 and 1/3", mean, variance)
		}
	})
}

// What is no number stays one, wherever it stands: a network that diverges
// must not look sound.
func TestNotANumberStays(t *testing.T) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	isNaN := func(v float32) bool { return v != v }
	withBoth(t, func(t *testing.T) {
		for _, odd := range []float32{nan, inf, -inf} {
			for _, at := range []int{0, 5, 36, 69} {
				x := make([]float32, 70)
				for i := range x {
					x[i] = float32(i) / 70
				}
				x[at] = odd
				dst := make([]int8, len(x))
				if d := Quantize(dst, x, 8); !isNaN(d) || slices.Max(dst) != 0 || slices.Min(dst) != 0 {
					t.Errorf("%v at %d: step %v, codes %v", odd, at, d, dst)
				}
				rounded := make([]float32, len(x))
				if Round(rounded, x, Delta(x, 8), 8); !isNaN(rounded[at]) {
					t.Errorf("%v at %d becomes %v", odd, at, rounded[at])
				}
				largest := make([]float32, len(x))
				if Larger(largest, x); isNaN(odd) != isNaN(largest[at]) || !isNaN(odd) && largest[at] != inf {
					t.Errorf("largest of %v: %v", odd, largest[at])
				}
				if isNaN(odd) {
					if NewRounder(2, slices.Repeat([]float32{1}, len(x))).Round(x); !isNaN(x[at]) {
						t.Errorf("weight NaN at %d becomes %v", at, x[at])
					}
				}
			}
		}
		dst := []int8{1, 2, 3}
		if d := Quantize(dst, make([]float32, 3), 8); d != 0 || slices.Max(dst) != 0 {
			t.Errorf("zeros become %v of step %v", dst, d)
		}
	})
}

// Outputs are those of the definition, and of assembly and portable Go alike.
func TestOutputsAreRoundedOnce(t *testing.T) {
	r := newRandom("outputs")
	const n = 23
	steps, bias, residual := make([]float64, n), make([]float32, n), make([]float32, n)
	dots := [2][]int32{make([]int32, n), make([]int32, n)}
	for i := range n {
		steps[i], bias[i], residual[i] = float64(r.below(1000))/1e6, float32(r.below(2000)-1000)/7, float32(r.below(2000)-1000)/3
		dots[0][i], dots[1][i] = int32(r.below(1<<20)-1<<19), int32(r.below(1<<20)-1<<19)
	}
	residual[3] = float32(math.NaN())
	withBoth(t, func(t *testing.T) {
		for _, res := range [][]float32{nil, residual} {
			for _, relu := range []bool{false, true} {
				sum, y := make([]float64, n), make([]float32, n)
				Scale(sum, dots[0], steps)
				ScaleAdd(sum, dots[1], steps)
				Finish(y, sum, 0.37, bias, res, relu)
				for i, got := range y {
					a := float64(dots[0][i]) * steps[i]
					b := float64(dots[1][i]) * steps[i]
					want := float64(float64(a+b)*0.37) + float64(bias[i])
					if res != nil {
						want = float64(want + float64(res[i]))
					}
					if relu && want < 0 {
						want = 0
					}
					if got != float32(want) && (want == want || got == got) {
						t.Errorf("output %d: %v, want %v", i, got, want)
					}
				}
			}
		}
	})
}

// Rows of weights are rounded to the levels of the definition, and assembly
// and portable Go agree to the bit.
func TestRounderFollowsItsDefinition(t *testing.T) {
	r := newRandom("rounder")
	const n = 45
	scales, rows := make([]float32, n), make([]float32, 40*n)
	for i := range scales {
		scales[i] = 0.1 + float32(r.below(1000))/500
	}
	for i := range rows {
		rows[i] = scales[i%n] * (float32(r.below(4001))/2000 - 1)
	}
	for _, bits := range []int{1, 2, 3, 4, 8} {
		rounder := NewRounder(bits, scales)
		withBoth(t, func(t *testing.T) {
			largest := make([]float32, n)
			for k := 0; k < len(rows); k += n {
				row := slices.Clone(rows[k : k+n])
				rounder.Round(row)
				Larger(largest, rows[k:k+n])
				for i, got := range row {
					w, m, span := rows[k+i], scales[i], float32(int(1)<<(bits-1))
					q := float32(math.Floor(float64(w * (span / m))))
					want := m / span * (max(-span, min(span-1, q)) + 0.5)
					if bits == 8 {
						want = m / 127 * float32(math.RoundToEven(float64(w*(127/m))))
					}
					if got != want {
						t.Fatalf("%d bits: %v at scale %v becomes %v, want %v", bits, w, m, got, want)
					}
					if largest[i] < max(w, -w) {
						t.Fatalf("column %d: largest %v, there is %v", i, largest[i], w)
					}
				}
			}
		})
	}
}

func BenchmarkDots(b *testing.B) {
	for _, c := range []struct{ n, k, tokens int }{{512, 4608, 1}, {512, 4608, 4}, {4096, 4096, 1}, {8192, 8192, 1}, {256, 2304, 64}} {
		for _, w := range []struct{ bits, act int }{{8, 8}, {4, 8}, {2, 8}, {1, 8}, {2, 4}, {1, 4}} {
			b.Run(fmt.Sprintf("%dx%dx%d/W%dA%d", c.n, c.k, c.tokens, w.bits, w.act), func(b *testing.B) {
				r := newRandom("bench")
				packed := Pack(w.bits, c.n, c.k, make([]byte, c.n*c.k))
				m, err := OpenMatrix(w.bits, c.n, c.k, w.act, packed)
				if err != nil {
					b.Fatal(err)
				}
				x := NewTokens(c.tokens, m.Stride())
				for i := range x.Codes {
					x.Codes[i] = int8(r.below(15) - 7)
				}
				x.Sum(0, c.tokens)
				dst := make([]int32, c.n*c.tokens)
				var s Space
				b.ResetTimer()
				for range b.N {
					m.Dots(dst, x, 0, c.tokens, 0, c.n, &s)
				}
				b.ReportMetric(float64(c.n)*float64(c.k)*float64(c.tokens)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GMAC/s")
			})
		}
	}
}
