package cpu_test

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/espalier-ml/espalier/kernels"
	"github.com/espalier-ml/espalier/kernels/cpu"
)

// convCase is a convolution of n images.
type convCase struct{ n, h, w, c, k, kh, kw, stride, pad, groups int }

func (s convCase) String() string {
	return fmt.Sprintf("%dx%dx%dx%d to %d, %dx%d stride %d pad %d groups %d",
		s.n, s.h, s.w, s.c, s.k, s.kh, s.kw, s.stride, s.pad, s.groups)
}

func (s convCase) geometry() kernels.Conv {
	return kernels.Conv{Stride: s.stride, Pad: s.pad, Groups: s.groups}
}

// sides returns the shapes of input, weights and output.
func (s convCase) sides() (x, w, y []int) {
	g := s.geometry()
	return []int{s.n, s.h, s.w, s.c}, []int{s.kh, s.kw, s.c / s.groups, s.k},
		[]int{s.n, g.Out(s.h, s.kh), g.Out(s.w, s.kw), s.k}
}

// convOp is an op of a case and the operand that it writes.
type convOp struct {
	name string
	op   kernels.Op
	all  []*kernels.Tensor
	out  *kernels.Tensor
}

// ops returns the forward op, plain and with all of its epilogue, and both
// gradients, plain and accumulating. Each has operands of its own.
func (s convCase) ops() []convOp {
	xs, ws, ys := s.sides()
	g := s.geometry()
	var out []convOp
	for _, on := range []bool{false, true} {
		x, w, y := kernels.New("x", kernels.F32, xs...), kernels.New("w", kernels.F32, ws...), kernels.New("y", kernels.F32, ys...)
		f := &kernels.Conv2D{X: x, W: w, Y: y, Conv: g}
		all := []*kernels.Tensor{x, w, y}
		if on {
			f.Bias, f.Act = kernels.New("bias", kernels.F32, s.k), kernels.ReLU
			all = append(all, f.Bias)
		}
		out = append(out, convOp{fmt.Sprintf("forward epilogue=%v", on), f, all, y})
		x, w, y = kernels.New("dx", kernels.F32, xs...), kernels.New("w", kernels.F32, ws...), kernels.New("dy", kernels.F32, ys...)
		out = append(out, convOp{fmt.Sprintf("input acc=%v", on), &kernels.ConvInput{DY: y, W: w, DX: x, Conv: g, Acc: on}, []*kernels.Tensor{x, w, y}, x})
		x, w, y = kernels.New("x", kernels.F32, xs...), kernels.New("dw", kernels.F32, ws...), kernels.New("dy", kernels.F32, ys...)
		out = append(out, convOp{fmt.Sprintf("weight acc=%v", on), &kernels.ConvWeight{X: x, DY: y, DW: w, Conv: g, Acc: on}, []*kernels.Tensor{x, w, y}, w})
	}
	return out
}

// fill gives the operands values that depend on their order and length alone.
func (o convOp) fill() {
	for i, t := range o.all {
		state := uint32(i + 1)
		for j := range cpu.F32(t) {
			state = state*1664525 + 1013904223
			cpu.F32(t)[j] = float32(int32(state)) / (1 << 31)
		}
	}
}

// mapped is a buffer that the test itself frees.
type mapped []byte

func (m mapped) Bytes() int   { return len(m) }
func (m mapped) Host() []byte { return m }
func (m mapped) Close() error { return nil }

// guarded places t so that it touches an unmapped page: after its last byte,
// or before its first.
func guarded(tb testing.TB, t *kernels.Tensor, atEnd bool) {
	page := os.Getpagesize()
	inner := (t.Bytes() + page - 1) / page * page
	b, err := unix.Mmap(-1, 0, inner+2*page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { unix.Munmap(b) })
	for _, p := range [][]byte{b[:page], b[page+inner:]} {
		if err := unix.Mprotect(p, unix.PROT_NONE); err != nil {
			tb.Fatal(err)
		}
	}
	t.Buf, t.Off = mapped(b), page
	if atEnd {
		t.Off += inner - t.Bytes()
	}
}

func openConv(tb testing.TB, o cpu.Options) *cpu.Device {
	d, err := cpu.New(o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { d.Close() })
	return d
}

func needAVX2Conv(tb testing.TB) {
	tb.Helper()
	d, err := cpu.New(cpu.Options{Threads: 1})
	if err != nil {
		tb.Fatal(err)
	}
	defer d.Close()
	if d.Portable() {
		tb.Skip("the AVX2 kernels are off or cannot run here")
	}
}

// run executes the op on fresh operands and returns what it wrote.
func (o convOp) run(tb testing.TB, d *cpu.Device, place func(*kernels.Tensor)) []float32 {
	tb.Helper()
	for _, t := range o.all {
		place(t)
	}
	o.fill()
	x, err := d.Compile([]kernels.Op{o.op})
	if err != nil {
		tb.Fatal(err)
	}
	defer x.Close()
	if err := x.Run(&kernels.Env{}, nil); err != nil {
		tb.Fatal(err)
	}
	return append([]float32(nil), cpu.F32(o.out)...)
}

// inMemory places tensors in plain memory of the device.
func inMemory(tb testing.TB, d *cpu.Device) func(*kernels.Tensor) {
	return func(t *kernels.Tensor) {
		b, err := d.Alloc(t.Bytes())
		if err != nil {
			tb.Fatal(err)
		}
		tb.Cleanup(func() { b.Close() })
		t.Buf, t.Off = b, 0
	}
}

var convCases = []convCase{
	{2, 8, 8, 16, 16, 3, 3, 1, 1, 1},
	{3, 7, 9, 3, 10, 3, 3, 1, 1, 1},
	{2, 5, 5, 1, 4, 3, 3, 1, 1, 1},
	{2, 6, 7, 4, 4, 3, 3, 1, 1, 1},
	{1, 9, 8, 6, 20, 5, 5, 1, 2, 1},
	{2, 9, 9, 10, 34, 3, 3, 2, 1, 1},
	{2, 8, 6, 34, 10, 3, 3, 2, 1, 1},
	{2, 13, 11, 3, 24, 7, 7, 2, 3, 1},
	{3, 4, 4, 33, 17, 1, 1, 1, 0, 1},
	{2, 7, 5, 20, 6, 1, 1, 2, 0, 1},
	{5, 2, 2, 70, 40, 3, 3, 1, 1, 1},
	{9, 1, 1, 12, 15, 3, 3, 1, 1, 1},
	{2, 7, 7, 12, 20, 3, 3, 1, 1, 4},
	{2, 7, 6, 16, 64, 3, 3, 2, 1, 2},
	{2, 9, 7, 6, 18, 3, 3, 1, 0, 6},
	{2, 8, 7, 24, 24, 3, 3, 1, 1, 24},
	{2, 9, 9, 37, 37, 3, 3, 2, 1, 37},
	{1, 6, 6, 3, 3, 5, 5, 1, 2, 3},
	{2, 11, 5, 8, 9, 1, 3, 1, 1, 1},
	{2, 10, 10, 7, 8, 3, 3, 3, 2, 1},
	{2, 6, 6, 8, 16, 4, 4, 2, 1, 1},
	{20, 4, 4, 136, 24, 3, 3, 1, 1, 1},
	{66, 3, 3, 5, 7, 3, 3, 1, 1, 1},
	{6, 2, 2, 176, 168, 3, 3, 1, 1, 1}, // more than 256 K weights
	{3, 4, 3, 520, 516, 1, 1, 1, 0, 1},
	{3, 7, 6, 450, 455, 1, 1, 2, 0, 1},
	{2, 5, 5, 150, 170, 3, 3, 2, 1, 1},
	{2, 4, 4, 150, 170, 3, 3, 1, 2, 1},
	{2, 70, 66, 13, 18, 3, 3, 1, 1, 1}, // several bands
	{7, 8, 8, 32, 40, 3, 3, 1, 1, 1},   // by Winograd's tiles
	{2, 16, 10, 56, 32, 3, 3, 1, 1, 1},
	{3, 4, 4, 19, 16, 3, 3, 1, 1, 1},
	{2, 20, 18, 21, 22, 3, 3, 1, 1, 1},
	{18, 6, 4, 17, 39, 3, 3, 1, 1, 1},
	{1, 1, 1, 1, 1, 1, 1, 1, 0, 1},
}

// Whatever lies beyond an operand is never touched, and results agree with
// the portable loops.
func TestConvAgainstLoops(t *testing.T) {
	needAVX2Conv(t)
	fast, loops := openConv(t, cpu.Options{Threads: 1}), openConv(t, cpu.Options{Threads: 2, Portable: true})
	for _, s := range convCases {
		t.Run(s.String(), func(t *testing.T) {
			if raceDetector && s.c*s.k > 4096 {
				t.Skip("too slow for the race detector")
			}
			for _, o := range s.ops() {
				want := o.run(t, loops, inMemory(t, loops))
				for _, atEnd := range []bool{false, true} {
					got := o.run(t, fast, func(x *kernels.Tensor) { guarded(t, x, atEnd) })
					if i, ok := agree(got, want); !ok {
						t.Errorf("%s, operands at the end of memory %v: element %d is %v, want %v", o.name, atEnd, i, got[i], want[i])
					}
				}
			}
		})
	}
}

// agree compares within the rounding of float32 sums.
func agree(got, want []float32) (int, bool) {
	var square float64
	for _, v := range want {
		square += float64(v) * float64(v)
	}
	rms := math.Sqrt(square / float64(len(want)))
	for i := range want {
		if d := math.Abs(float64(got[i]) - float64(want[i])); !(d <= 1e-5*(math.Abs(float64(want[i]))+rms)) {
			return i, false
		}
	}
	return 0, true
}

func TestConvSameBitsAtAnyThreads(t *testing.T) {
	needAVX2Conv(t)
	one, three := openConv(t, cpu.Options{Threads: 1}), openConv(t, cpu.Options{Threads: 3, Spin: -1})
	for _, s := range convCases {
		for _, o := range s.ops() {
			a, b := o.run(t, one, inMemory(t, one)), o.run(t, three, inMemory(t, three))
			for i := range a {
				if math.Float32bits(a[i]) != math.Float32bits(b[i]) {
					t.Errorf("%v, %s: element %d is %v with one thread, %v with three", s, o.name, i, a[i], b[i])
					break
				}
			}
		}
	}
}

func TestConvRunsWithoutAllocating(t *testing.T) {
	needAVX2Conv(t)
	if raceDetector {
		t.Skip("the detector allocates")
	}
	d := openConv(t, cpu.Options{Threads: 1})
	for _, s := range convCases {
		for _, o := range s.ops() {
			for _, x := range o.all {
				inMemory(t, d)(x)
			}
			x, err := d.Compile([]kernels.Op{o.op})
			if err != nil {
				t.Fatal(err)
			}
			env := &kernels.Env{}
			if n := testing.AllocsPerRun(1, func() { x.Run(env, nil) }); n != 0 {
				t.Errorf("%v, %s: %v allocations a run, want none", s, o.name, n)
			}
			x.Close()
		}
	}
}

func TestConvAssemblyIsGenerated(t *testing.T) {
	out := filepath.Join(t.TempDir(), "conv.s")
	if msg, err := exec.Command("go", "run", "./gen/conv", "-o", out).CombinedOutput(); err != nil {
		t.Skipf("cannot run the generator: %v\n%s", err, msg)
	}
	got, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile("conv_amd64.s")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("conv_amd64.s is not what gen/conv writes: run go generate")
	}
}
