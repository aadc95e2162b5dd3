package codec

import (
	"fmt"
	"math"
	"testing"
)

// Every value of 16 bits survives a round trip, and lies where the standard
// says: its neighbours' midpoints round to the even one.
func TestRoundTripAndRounding(t *testing.T) {
	formats := []struct {
		c        Codec
		infinity uint16
	}{{FP16, 0x7c00}, {BF16, 0x7f80}}
	for _, f := range formats {
		value := func(h uint16) float32 {
			var v [1]float32
			if err := f.c.Decode(v[:], []byte{byte(h), byte(h >> 8)}); err != nil {
				t.Fatal(err)
			}
			return v[0]
		}
		code := func(v float32) uint16 {
			var b [2]byte
			f.c.Encode(b[:], []float32{v})
			return uint16(b[0]) | uint16(b[1])<<8
		}
		for h := range uint16(f.infinity) {
			v, next := value(h), value(h+1)
			if got := code(v); got != h {
				t.Fatalf("%s: %04x is %g is %04x", f.c.Name(), h, v, got)
			}
			if got := code(-v); got != h|0x8000 {
				t.Fatalf("%s: -%g is %04x, want %04x", f.c.Name(), v, got, h|0x8000)
			}
			if h+1 == f.infinity {
				break
			}
			middle := float32((float64(v) + float64(next)) / 2) // exact: float32 has more bits
			even := h + h&1
			for _, c := range []struct {
				v    float32
				want uint16
			}{{middle, even}, {math.Nextafter32(middle, v), h}, {math.Nextafter32(middle, next), h + 1}} {
				if middle == v || middle == next {
					continue // below the least float32
				}
				if got := code(c.v); got != c.want {
					t.Fatalf("%s: %g between %04x and %04x is %04x, want %04x", f.c.Name(), c.v, h, h+1, got, c.want)
				}
			}
		}
	}
}

func TestSpecialValues(t *testing.T) {
	inf, nan := float32(math.Inf(1)), math.Float32frombits(0x7f800001) // signalling
	tests := []struct {
		c    Codec
		in   float32
		want float32
	}{
		{FP16, inf, inf}, {FP16, -inf, -inf}, {FP16, 65504, 65504}, {FP16, 65519.996, 65504}, {FP16, 65520, inf}, {FP16, -1e30, -inf},
		{FP16, 1e-30, 0}, {FP16, 0x1p-24, 0x1p-24}, {FP16, 0x1p-25, 0}, {FP16, 0x1.8p-25, 0x1p-24},
		{BF16, inf, inf}, {BF16, math.MaxFloat32, inf}, {BF16, 0x1.fep127, 0x1.fep127}, {BF16, 1.00390625, 1}, {BF16, 1e-45, 0},
	}
	for _, tt := range tests {
		for _, n := range []int{1, 16} { // Go and assembly
			got := through(t, tt.c, tt.in, n)
			if math.Float32bits(got) != math.Float32bits(tt.want) {
				t.Errorf("%s: %g of %d becomes %g, want %g", tt.c.Name(), tt.in, n, got, tt.want)
			}
			if got := through(t, tt.c, nan, n); got == got {
				t.Errorf("%s: NaN of %d becomes %g", tt.c.Name(), n, got)
			}
		}
	}
}

// through is the last of n equal values, encoded and decoded.
func through(t *testing.T, c Codec, v float32, n int) float32 {
	t.Helper()
	values := make([]float32, n)
	for i := range values {
		values[i] = v
	}
	b := make([]byte, n*c.Width())
	c.Encode(b, values)
	clear(values)
	if err := c.Decode(values, b); err != nil {
		t.Fatal(err)
	}
	return values[n-1]
}

// The assembly gives the bits of the Go code for patterns of all kinds, at
// every length and alignment, and touches nothing beyond.
func TestSameBitsAsGo(t *testing.T) {
	x := uint32(1)
	next := func() uint32 {
		x ^= x << 13
		x ^= x >> 17
		x ^= x << 5
		return x
	}
	src := make([]float32, 1<<16)
	for i := range src {
		bits := next()
		switch i % 4 {
		case 1:
			bits = bits&^0x7f800000 | (100+next()%60)<<23 // within fp16
		case 2:
			bits &^= next() & 0xffff // often ties
		case 3:
			bits = bits&0x8000ffff | 0x7f800000*(next()&1) // denormal, infinite, NaN
		}
		src[i] = math.Float32frombits(bits)
	}
	formats := []struct {
		c    Codec
		to   func(float32) uint16
		from func(uint16) float32
	}{
		{FP16, toFP16, fromFP16},
		{BF16, toBF16, func(h uint16) float32 { return math.Float32frombits(uint32(h) << 16) }},
	}
	for _, f := range formats {
		check := func(off, n int) {
			const guard = 5
			b := make([]byte, 2*n+guard)
			for i := range b {
				b[i] = 0xaa
			}
			f.c.Encode(b, src[off:off+n])
			back := make([]float32, n+guard)
			if err := f.c.Decode(back[:n], b[:2*n]); err != nil {
				t.Fatal(err)
			}
			for i := range n {
				h := uint16(b[2*i]) | uint16(b[2*i+1])<<8
				if want := f.to(src[off+i]); h != want {
					t.Fatalf("%s: %08x becomes %04x, want %04x", f.c.Name(), math.Float32bits(src[off+i]), h, want)
				}
				if want := f.from(h); math.Float32bits(back[i]) != math.Float32bits(want) {
					t.Fatalf("%s: %04x becomes %08x, want %08x", f.c.Name(), h, math.Float32bits(back[i]), math.Float32bits(want))
				}
			}
			for i := range guard {
				if b[2*n+i] != 0xaa || back[n+i] != 0 {
					t.Fatalf("%s: %d values wrote beyond their end", f.c.Name(), n)
				}
			}
		}
		check(0, len(src))
		for n := range 70 {
			for off := range 8 {
				check(off*31, n)
			}
		}
	}
}

func TestDecodeAdd(t *testing.T) {
	for _, c := range []Codec{FP16, BF16} {
		const n = 3000
		v, acc := make([]float32, n), make([]float32, n)
		for i := range v {
			v[i], acc[i] = float32(i%128), 0.5
		}
		b := make([]byte, n*c.Width())
		c.Encode(b, v)
		if err := c.DecodeAdd(acc, b); err != nil {
			t.Fatal(err)
		}
		for i := range acc {
			if want := float32(i%128) + 0.5; acc[i] != want {
				t.Fatalf("%s: element %d is %g, want %g", c.Name(), i, acc[i], want)
			}
		}
		if err := c.DecodeAdd(acc, b[1:]); err == nil {
			t.Errorf("%s: added %d bytes to %d values", c.Name(), len(b)-1, n)
		}
		if err := c.Decode(acc, b[2:]); err == nil {
			t.Errorf("%s: decoded %d bytes to %d values", c.Name(), len(b)-2, n)
		}
	}
}

func BenchmarkHalf(b *testing.B) {
	const n = 64 << 10
	v, h := make([]float32, n), make([]byte, 2*n)
	for i := range v {
		v[i] = float32(i)
	}
	for _, c := range []Codec{FP16, BF16} {
		for name, f := range map[string]func(){"encode": func() { c.Encode(h, v) }, "decode": func() { c.Decode(v, h) }, "add": func() { c.DecodeAdd(v, h) }} {
			b.Run(fmt.Sprintf("%s/%s", c.Name(), name), func(b *testing.B) {
				b.SetBytes(4 * n)
				for b.Loop() {
					f()
				}
			})
		}
	}
}
