package cpu

import (
	"fmt"
	"math"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/espalier-ml/espalier/kernels"
)

// fenced returns n floats between pages that must not be touched: the floats
// end where the page ends, or begin where it begins.
func fenced(t testing.TB, n int, atEnd bool) []float32 {
	t.Helper()
	page := unix.Getpagesize()
	size := (n*4 + page - 1) &^ (page - 1)
	b, err := unix.Mmap(-1, 0, size+2*page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Munmap(b) })
	for _, fence := range [][]byte{b[:page], b[page+size:]} {
		if err := unix.Mprotect(fence, unix.PROT_NONE); err != nil {
			t.Fatal(err)
		}
	}
	if n == 0 {
		return nil
	}
	at := page
	if atEnd {
		at += size - n*4
	}
	return unsafe.Slice((*float32)(unsafe.Pointer(&b[at])), n)
}

func needAVX2(t testing.TB) {
	t.Helper()
	d, err := New(Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if d.Portable() {
		t.Skip("the AVX2 kernels are off or cannot run here")
	}
}

// ulps is the distance of got from want in units of want's last place.
func ulps(got float32, want float64) float64 {
	w := float32(want)
	switch {
	case math.IsNaN(want):
		if got != got {
			return 0
		}
		return math.Inf(1)
	case got == w:
		return 0
	case math.IsInf(float64(w), 0) || math.IsInf(float64(got), 0):
		return math.Inf(1)
	}
	ulp := math.Abs(float64(math.Nextafter32(w, 2*w)) - float64(w))
	return math.Abs(float64(got)-want) / max(ulp, 0x1p-149)
}

func sigmoid64(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

func geluU(x float64) float64 { return math.Sqrt(2/math.Pi) * (x + 0.044715*x*x*x) }

func gelu64(x float64) float64 {
	if math.IsInf(x, -1) {
		return 0
	}
	return x * sigmoid64(2*geluU(x))
}

func geluSlope64(x float64) float64 {
	if math.Abs(x) > 1e6 {
		return sigmoid64(x)
	}
	s := sigmoid64(2 * geluU(x))
	return s + x*s*(1-s)*2*math.Sqrt(2/math.Pi)*(1+3*0.044715*x*x)
}

func silu64(x float64) float64 {
	if math.IsInf(x, -1) {
		return 0
	}
	return x * sigmoid64(x)
}

func siluSlope64(x float64) float64 {
	if math.Abs(x) > 1e6 {
		return sigmoid64(x)
	}
	s := sigmoid64(x)
	return s * (1 + x*(1-s))
}

// sweep is a set of arguments: the special ones, and all magnitudes.
func sweep() []float32 {
	inf := float32(math.Inf(1))
	xs := []float32{0, float32(math.Copysign(0, -1)), inf, -inf, float32(math.NaN()), math.MaxFloat32, -math.MaxFloat32,
		math.SmallestNonzeroFloat32, 88.72, 88.73, 89, -87.33, -87.34, -103.9, -104.1, 0.625, -0.625, 12, -12, 1e-20}
	for e := -30.0; e < 8; e += 0.0037 {
		x := float32(math.Exp2(e))
		xs = append(xs, x, -x)
	}
	return xs
}

func TestVmathValues(t *testing.T) {
	needAVX2(t)
	xs := sweep()
	for _, f := range []struct {
		name string
		f    func(dst, src []float32)
		want func(float64) float64
		ulps float64
		abs  float64 // also good: this close, absolutely
	}{
		{"exp", vexp, math.Exp, 2, 0},
		{"tanh", vtanh, math.Tanh, 4, 1e-39},
		{"sigmoid", vsigmoid, sigmoid64, 3, 2e-38},
		{"silu", vsilu, silu64, 4, 2e-36},
		{"gelu", vgelu, gelu64, 8, 1e-7},
		{"relu", vrelu, func(x float64) float64 { return math.Max(x, 0) }, 0, 0},
	} {
		t.Run(f.name, func(t *testing.T) {
			got := make([]float32, len(xs))
			f.f(got, xs)
			worst := 0.0
			for i, x := range xs {
				want := f.want(float64(x))
				u := ulps(got[i], want)
				if u > f.ulps && !(math.Abs(float64(got[i])-want) <= f.abs) {
					t.Fatalf("f(%g) = %g, want %g: %.2f ulp", x, got[i], want, u)
				}
				if math.Abs(want) > 1e-30 {
					worst = max(worst, u)
				}
			}
			t.Logf("worst %.2f ulp", worst)
		})
	}
}

func TestVlog(t *testing.T) {
	needAVX2(t)
	worst := 0.0
	for e := -125.0; e < 127; e += 0.0131 {
		x, y := []float32{float32(math.Exp2(e))}, []float32{0}
		vlog(y, x)
		want := math.Log(float64(x[0]))
		if u := ulps(y[0], want); u > 2 && math.Abs(float64(y[0])-want) > 1e-7 {
			t.Fatalf("ln %g = %g, want %g: %.2f ulp", x[0], y[0], want, u)
		} else if math.Abs(want) > 0.1 {
			worst = max(worst, u)
		}
	}
	t.Logf("worst %.2f ulp", worst)
}

func TestVmathSlopes(t *testing.T) {
	needAVX2(t)
	xs := sweep()
	for _, f := range []struct {
		act  kernels.Act
		want func(x float64) float64
	}{
		{kernels.GELU, geluSlope64},
		{kernels.SiLU, siluSlope64},
		{kernels.Tanh, func(y float64) float64 { return 1 - y*y }},
		{kernels.Sigmoid, func(y float64) float64 { return y * (1 - y) }},
		{kernels.ReLU, func(y float64) float64 { return max(0, math.Copysign(1, y)) }},
	} {
		t.Run(f.act.String(), func(t *testing.T) {
			var in []float32
			for _, x := range xs {
				if f.act.FromOutput() && !(x > 0 && x <= 1) {
					continue
				}
				in = append(in, x)
			}
			got, dy := make([]float32, len(in)), make([]float32, len(in))
			for i := range dy {
				dy[i] = -1.5
			}
			vactGrad(f.act, got, in, dy)
			for i, x := range in {
				want := -1.5 * f.want(float64(x))
				if ulps(got[i], want) > 8 && !(math.Abs(float64(got[i])-want) <= 2e-6) {
					t.Errorf("slope(%g) = %g, want %g", x, got[i], want)
				}
			}
		})
	}
}

// Every length and both ends of a page: no byte outside is touched and a
// value does not depend on its place.
func TestVmathLengths(t *testing.T) {
	needAVX2(t)
	unary := func(a kernels.Act) func(dst, src []float32) {
		return func(dst, src []float32) { vact(a, dst, src) }
	}
	fs := map[string]func(dst, src []float32){
		"exp": vexp, "relu": unary(kernels.ReLU), "gelu": unary(kernels.GELU), "silu": unary(kernels.SiLU),
		"tanh": unary(kernels.Tanh), "sigmoid": unary(kernels.Sigmoid),
		"log":           func(dst, src []float32) { vexp(dst, src); vlog(dst, dst) },
		"scale":         func(dst, src []float32) { vscale(dst, src, 1.5) },
		"softmax slope": func(dst, src []float32) { vsoftmaxGrad(dst, src, src, 0.5, 2) },
		"expsub":        func(dst, src []float32) { vexpSub(dst, src, 0.25) },
	}
	for a := kernels.ReLU; a <= kernels.Sigmoid; a++ {
		fs[a.String()+" slope"] = func(dst, src []float32) { vactGrad(a, dst, src, src) }
	}
	for name, f := range fs {
		for n := range 35 {
			for _, end := range []bool{false, true} {
				src, dst := fenced(t, n, end), fenced(t, n, end)
				for i := range src {
					src[i] = float32(i%7) - 3.3
				}
				f(dst, src)
				for i := range src {
					one := []float32{0}
					f(one, src[i:i+1])
					if dst[i] != one[0] {
						t.Fatalf("%s, length %d: element %d is %g, alone %g", name, n, i, dst[i], one[0])
					}
				}
			}
		}
	}
}

func TestVexpSubAndMax(t *testing.T) {
	needAVX2(t)
	inf := float32(math.Inf(-1))
	for n := 1; n < 40; n++ {
		x, y := fenced(t, n, true), fenced(t, n, true)
		want, top := 0.0, inf
		for i := range x {
			x[i] = float32((i*5)%11) - 20
			if i%3 == 2 {
				x[i] = inf
			}
			top = max(top, x[i])
		}
		if got := vmax(x); got != top {
			t.Fatalf("largest of %v is %g, want %g", x, got, top)
		}
		sum := vexpSub(y, x, top)
		for i := range x {
			e := math.Exp(float64(x[i] - top))
			want += e
			if ulps(y[i], e) > 2 {
				t.Fatalf("e^(%g-%g) = %g, want %g", x[i], top, y[i], e)
			}
		}
		if math.Abs(float64(sum)-want) > 1e-6*want {
			t.Fatalf("length %d: sum %g, want %g", n, sum, want)
		}
	}
}

func TestVdot(t *testing.T) {
	needAVX2(t)
	for n := range 40 {
		x, y, want := fenced(t, n, true), fenced(t, n, true), float32(0)
		for i := range x {
			x[i], y[i] = float32(i-7), float32(2*i+1)
			want += x[i] * y[i] // exact
		}
		if got := vdot(x, y); got != want {
			t.Errorf("length %d: %g, want %g", n, got, want)
		}
	}
}

func BenchmarkVmath(b *testing.B) {
	needAVX2(b)
	const n = 4096
	src, dst := make([]float32, n), make([]float32, n)
	for i := range src {
		src[i] = float32(i)/512 - 4
	}
	for _, f := range []struct {
		name string
		f    func()
	}{
		{"exp", func() { vexp(dst, src) }},
		{"tanh", func() { vtanh(dst, src) }},
		{"sigmoid", func() { vsigmoid(dst, src) }},
		{"gelu", func() { vgelu(dst, src) }},
		{"geluGrad", func() { vgeluGrad(dst, src, src) }},
		{"expSub", func() { vexpSub(dst, src, 4) }},
	} {
		b.Run(fmt.Sprint(f.name), func(b *testing.B) {
			b.SetBytes(n * 4)
			for b.Loop() {
				f.f()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/n, "ns/element")
		})
	}
}
