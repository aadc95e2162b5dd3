package cpu

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"unsafe"

	"github.com/espalier-ml/espalier/kernels"
	"github.com/espalier-ml/espalier/kernels/philox"
)

// workbench is a place to run ops: operands between pages that must not be
// touched, filled from a counter.
type workbench struct {
	t    testing.TB
	d    *Device
	end  bool // operands end where their page ends
	made []*kernels.Tensor
}

func newWorkbench(t testing.TB, o Options, end bool) *workbench {
	d, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return &workbench{t: t, d: d, end: end}
}

// random returns a placed operand; equal names in equal order give equal
// contents on every bench.
func (b *workbench) random(name string, shape ...int) *kernels.Tensor {
	x := kernels.New(name, kernels.F32, shape...)
	f := fenced(b.t, x.Len(), b.end)
	x.Buf = wrapped(unsafe.Slice((*byte)(unsafe.Pointer(&f[0])), 4*len(f)))
	key := philox.NewKey(uint64(len(b.made)), name)
	for i := range f {
		f[i] = 2*philox.Uniform(key.Index(uint64(i))[0]) - 1
	}
	b.made = append(b.made, x)
	return x
}

func (b *workbench) run(ops ...kernels.Op) {
	b.t.Helper()
	x, err := b.d.Compile(ops)
	if err != nil {
		b.t.Fatal(err)
	}
	defer x.Close()
	if err := x.Run(&kernels.Env{}, nil); err != nil {
		b.t.Fatal(err)
	}
}

// agree runs the ops that make describes on the reference and on one and
// three threads, operands at both ends of their pages, and compares every
// operand: near the reference, the same bits on all threads.
func agree(t *testing.T, tolerance float64, make func(b *workbench) []kernels.Op) {
	t.Helper()
	needAVX2(t)
	want := newWorkbench(t, Options{Threads: 1, Portable: true}, false)
	want.run(make(want)...)
	var first *workbench
	for _, threads := range []int{1, 3} {
		got := newWorkbench(t, Options{Threads: threads, Spin: -1}, threads == 1)
		got.run(make(got)...)
		for i, x := range got.made {
			near(t, x, F32(x), F32(want.made[i]), tolerance)
			if first != nil && !slices.EqualFunc(F32(x), F32(first.made[i]), func(a, b float32) bool { return math.Float32bits(a) == math.Float32bits(b) }) {
				t.Fatalf("%v: threads change bits", x)
			}
		}
		first = got
	}
}

// near compares with the root mean square of the operand as measure.
func near(t *testing.T, x *kernels.Tensor, got, want []float32, tolerance float64) {
	t.Helper()
	square := 0.0
	for _, v := range want {
		square += float64(v) * float64(v)
	}
	rms := math.Sqrt(square / float64(len(want)))
	for i, v := range want {
		if d := math.Abs(float64(got[i]) - float64(v)); !(d <= tolerance*(rms+math.Abs(float64(v)))) {
			t.Fatalf("%v element %d is %g, want %g (root mean square %.3g)", x, i, got[i], v, rms)
		}
	}
}

// Shapes that take every cut of lowerMatMul, with tails in all of them.
func TestMatMulCuts(t *testing.T) {
	for _, c := range []struct {
		cut     string
		a, b, c []int
		ta, tb  bool
	}{
		{"grid", []int{13, 300}, []int{300, 65}, []int{13, 65}, false, false},
		{"grid", []int{130, 70}, []int{70, 530}, []int{130, 530}, false, false},
		{"grid transposed B", []int{33, 270}, []int{77, 270}, []int{33, 77}, false, true},
		{"grid of a few columns", []int{128, 270}, []int{10, 270}, []int{128, 10}, false, true},
		{"grid transposed A", []int{37, 50}, []int{37, 90}, []int{50, 90}, true, false},
		{"grid tall", []int{45, 523}, []int{45, 135}, []int{523, 135}, true, false},
		{"grid tall in blocks", []int{300, 515}, []int{300, 130}, []int{515, 130}, true, false},
		{"grid tall cut by rows", []int{33, 1030}, []int{33, 140}, []int{1030, 140}, true, false},
		{"grid cut by rows", []int{30, 400}, []int{30, 41}, []int{400, 41}, true, false},
		{"grid both transposed", []int{70, 20}, []int{90, 70}, []int{20, 90}, true, true},
		{"images", []int{3, 33, 29}, []int{29, 37}, []int{3, 33, 37}, false, false},
		{"images transposed B", []int{9, 32, 300}, []int{37, 300}, []int{9, 32, 37}, false, true},
		{"rows", []int{301, 20}, []int{20, 41}, []int{301, 41}, false, false},
		{"rows transposed B", []int{260, 33}, []int{18, 33}, []int{260, 18}, false, true},
		{"many rows", []int{1030, 20}, []int{20, 300}, []int{1030, 300}, false, false},
		{"gradient by image", []int{3, 33, 20}, []int{3, 33, 17}, []int{20, 17}, true, false},
		{"gradient by image, many", []int{70, 32, 9}, []int{70, 32, 8}, []int{9, 8}, true, false},
		{"gradient by image, tall", []int{2, 300, 520}, []int{2, 300, 130}, []int{520, 130}, true, false},
		{"gradient by rows", []int{1030, 20}, []int{1030, 17}, []int{20, 17}, true, false},
		{"products", []int{5, 20, 31}, []int{5, 31, 33}, []int{5, 20, 33}, false, false},
		{"products transposed", []int{3, 31, 20}, []int{3, 33, 31}, []int{3, 20, 33}, true, true},
	} {
		for _, acc := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s %v %v acc %v", c.cut, c.a, c.b, acc), func(t *testing.T) {
				agree(t, 1e-5, func(b *workbench) []kernels.Op {
					o := &kernels.MatMul{A: b.random("a", c.a...), B: b.random("b", c.b...), C: b.random("c", c.c...), TransA: c.ta, TransB: c.tb, Acc: acc}
					if acc {
						o.Alpha = -0.3
					}
					return []kernels.Op{o}
				})
			})
		}
	}
}

func TestMatMulEpilogues(t *testing.T) {
	for act := kernels.NoAct; act <= kernels.Sigmoid; act++ {
		for _, shape := range [][]int{{20, 300}, {3, 40, 300}, {300, 20}} {
			for _, pre := range []bool{false, true} {
				t.Run(fmt.Sprint(act, shape, pre), func(t *testing.T) {
					agree(t, 1e-5, func(b *workbench) []kernels.Op {
						out := append(slices.Clone(shape[:len(shape)-1]), 37)
						o := &kernels.MatMul{A: b.random("a", shape...), B: b.random("b", shape[len(shape)-1], 37), Bias: b.random("bias", 37), Act: act, C: b.random("c", out...)}
						if pre {
							o.Pre = b.random("pre", out...)
						}
						return []kernels.Op{o}
					})
				})
			}
		}
	}
}

func TestSumRowsCuts(t *testing.T) {
	for _, c := range []struct{ x, y []int }{
		{[]int{1, 5}, []int{5}}, {[]int{300, 77}, []int{77}}, {[]int{70, 3, 41}, []int{41}}, {[]int{9, 6, 5}, []int{6, 5}},
		{[]int{3, 7}, []int{1}}, {[]int{4, 6}, []int{2, 6}}, {[]int{130, 1}, []int{1}},
	} {
		for _, acc := range []bool{false, true} {
			t.Run(fmt.Sprint(c.x, c.y, acc), func(t *testing.T) {
				agree(t, 1e-5, func(b *workbench) []kernels.Op {
					return []kernels.Op{&kernels.SumRows{X: b.random("x", c.x...), Y: b.random("y", c.y...), Acc: acc}}
				})
			})
		}
	}
}

func TestWideKernelsGiveTheSameBits(t *testing.T) {
	needAVX2(t)
	if !useAVX512 {
		t.Skip("no AVX-512 here")
	}
	defer func() { useAVX512 = true }()
	s := func(n ...int) []int { return n }
	cases := []benchCase{
		product("rows", s(13, 37), s(37, 70), s(13, 70), kernels.MatMul{Act: kernels.ReLU}, "bias"),
		product("blocks of k", s(5, 300), s(300, 64), s(5, 64), kernels.MatMul{}),
		product("transposed B", s(7, 24), s(48, 24), s(7, 48), kernels.MatMul{TransB: true}),
		product("transposed A", s(50, 9), s(50, 100), s(9, 100), kernels.MatMul{TransA: true, Acc: true}),
		product("tiles of A", s(40, 520), s(40, 160), s(520, 160), kernels.MatMul{TransA: true}),
		{"attention", func(w *workbench) kernels.Op {
			return &kernels.Attention{QKV: w.random("qkv", 2, 50, 192), O: w.random("o", 2, 50, 64), LSE: w.random("lse", 2, 2, 50), Heads: 2, Causal: true}
		}},
		{"attention grad", func(w *workbench) kernels.Op {
			return &kernels.AttentionGrad{QKV: w.random("qkv", 2, 70, 192), O: w.random("o", 2, 70, 64), LSE: w.random("lse", 2, 2, 70),
				DO: w.random("do", 2, 70, 64), DQKV: w.random("dqkv", 2, 70, 192), Heads: 2, Causal: true}
		}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var results [2]*workbench
			for i := range results {
				useAVX512 = i > 0
				results[i] = newWorkbench(t, Options{Threads: 1}, i > 0)
				results[i].run(c.op(results[i]))
			}
			for i, x := range results[0].made {
				wide := F32(results[1].made[i])
				for k, v := range F32(x) {
					if math.Float32bits(v) != math.Float32bits(wide[k]) {
						t.Fatalf("%v: element %d is %v narrow, %v wide", x, k, v, wide[k])
					}
				}
			}
		})
	}
}
