package cpu

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/espalier-ml/espalier/kernels"
)

// cpuTime is the processor time of the process so far.
func cpuTime() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &ts); err != nil {
		panic(err)
	}
	return time.Duration(ts.Nano())
}

// peak1 is the FMA peak of one thread by processor time, GFLOP/s.
func peak1() float64 {
	const n = 1 << 18
	best := math.Inf(1)
	for range 12 {
		from := cpuTime()
		fmaChains(n)
		best = min(best, float64(cpuTime()-from))
	}
	return n * 12 * 16 / best
}

// measure runs f for a while and returns the median processor time of a run.
func measure(f func()) time.Duration {
	var took []time.Duration
	for from := cpuTime(); len(took) < 5 || cpuTime()-from < 300*time.Millisecond; {
		t := cpuTime()
		f()
		took = append(took, cpuTime()-t)
	}
	slices.Sort(took)
	return took[len(took)/2]
}

// benchCase is an op on random operands.
type benchCase struct {
	name string
	op   func(b *workbench) kernels.Op
}

// product is a case C = op(A)·op(B).
func product(name string, a, b, c []int, o kernels.MatMul, extra ...string) benchCase {
	return benchCase{name, func(w *workbench) kernels.Op {
		o := o
		o.A, o.B, o.C = w.random("a", a...), w.random("b", b...), w.random("c", c...)
		if slices.Contains(extra, "bias") {
			o.Bias = w.random("bias", c[len(c)-1])
		}
		if slices.Contains(extra, "pre") {
			o.Pre = w.random("pre", c...)
		}
		return &o
	}}
}

func matMulCases() []benchCase {
	fwd := kernels.MatMul{}
	dx, dw := kernels.MatMul{TransB: true}, kernels.MatMul{TransA: true}
	s := func(n ...int) []int { return n }
	return []benchCase{
		product("mlp/forward relu", s(128, 1024), s(1024, 1024), s(128, 1024), kernels.MatMul{Act: kernels.ReLU}, "bias"),
		product("mlp/input", s(128, 1024), s(1024, 1024), s(128, 1024), dx),
		product("mlp/weight", s(128, 1024), s(128, 1024), s(1024, 1024), dw),
		product("mlp 784/forward relu", s(128, 784), s(784, 1024), s(128, 1024), kernels.MatMul{Act: kernels.ReLU}, "bias"),
		product("mlp 10/forward", s(128, 1024), s(1024, 10), s(128, 10), fwd, "bias"),
		product("lstm in/forward", s(20, 35, 200), s(200, 800), s(20, 35, 800), fwd, "bias"),
		product("lstm in/input", s(20, 35, 800), s(200, 800), s(20, 35, 200), dx),
		product("lstm in/weight", s(20, 35, 200), s(20, 35, 800), s(200, 800), dw),
		product("lstm out/forward", s(20, 35, 200), s(200, 10000), s(20, 35, 10000), fwd, "bias"),
		product("lstm out/input", s(20, 35, 10000), s(200, 10000), s(20, 35, 200), dx),
		product("lstm out/weight", s(20, 35, 200), s(20, 35, 10000), s(200, 10000), dw),
		product("qkv/forward", s(32, 128, 128), s(128, 384), s(32, 128, 384), fwd, "bias"),
		product("qkv/input", s(32, 128, 384), s(128, 384), s(32, 128, 128), dx),
		product("qkv/weight", s(32, 128, 128), s(32, 128, 384), s(128, 384), dw),
		product("ff up/forward gelu", s(32, 128, 128), s(128, 512), s(32, 128, 512), kernels.MatMul{Act: kernels.GELU}, "bias", "pre"),
		product("ff up/input", s(32, 128, 512), s(128, 512), s(32, 128, 128), dx),
		product("ff up/weight", s(32, 128, 128), s(32, 128, 512), s(128, 512), dw),
		product("ff down/forward", s(32, 128, 512), s(512, 128), s(32, 128, 128), fwd, "bias"),
		product("ff down/input", s(32, 128, 128), s(512, 128), s(32, 128, 512), dx),
		product("ff down/weight", s(32, 128, 512), s(32, 128, 128), s(512, 128), dw),
		product("batched", s(32, 128, 64), s(32, 64, 128), s(32, 128, 128), fwd),
	}
}

func sequenceCases() []benchCase {
	lstm := func(w *workbench) *kernels.LSTM {
		return &kernels.LSTM{X: w.random("x", 20, 35, 800), W: w.random("w", 200, 800), H: w.random("h", 20, 35, 200), C: w.random("c", 20, 35, 200), Gates: w.random("g", 20, 35, 800)}
	}
	attention := func(w *workbench) *kernels.Attention {
		return &kernels.Attention{QKV: w.random("qkv", 32, 128, 384), O: w.random("o", 32, 128, 128), LSE: w.random("lse", 32, 4, 128), Heads: 4, Causal: true}
	}
	return []benchCase{
		{"lstm", func(w *workbench) kernels.Op { return lstm(w) }},
		{"lstm grad", func(w *workbench) kernels.Op {
			f := lstm(w)
			return &kernels.LSTMGrad{W: f.W, H: f.H, C: f.C, Gates: f.Gates, DH: w.random("dh", 20, 35, 200), DX: w.random("dx", 20, 35, 800), DW: w.random("dw", 200, 800)}
		}},
		{"attention", func(w *workbench) kernels.Op { return attention(w) }},
		{"attention grad", func(w *workbench) kernels.Op {
			f := attention(w)
			return &kernels.AttentionGrad{QKV: f.QKV, O: f.O, LSE: f.LSE, DO: w.random("do", 32, 128, 128), DQKV: w.random("dqkv", 32, 128, 384), Heads: 4, Causal: true}
		}},
	}
}

// benchmark reports GFLOP/s and the share of the FMA peak: of one thread by
// processor time (median), of more by the clock (best, for machines that are
// shared).
func benchmark(b *testing.B, threads int, cases []benchCase) {
	needAVX2(b)
	for _, c := range cases {
		b.Run(c.name, func(b *testing.B) {
			w := newWorkbench(b, Options{Threads: threads}, false)
			op := c.op(w)
			x, err := w.d.Compile([]kernels.Op{op})
			if err != nil {
				b.Fatal(err)
			}
			defer x.Close()
			env := &kernels.Env{}
			run := func() { x.Run(env, nil) }
			var took time.Duration
			var peak float64
			if threads == 1 {
				peak = peak1()
				took = measure(run)
				peak = max(peak, peak1())
			} else {
				peak = FMAPeak(threads)
				took = together(1, 50, func(int) { run() })
			}
			rate := float64(kernels.Flops(op)) / float64(took.Nanoseconds())
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(float64(took.Nanoseconds())/1e6, "ms")
			b.ReportMetric(rate, "GFLOP/s")
			b.ReportMetric(100*rate/peak, "%peak")
		})
	}
}

func BenchmarkMatMul(b *testing.B)   { benchmark(b, 1, matMulCases()) }
func BenchmarkSequence(b *testing.B) { benchmark(b, 1, sequenceCases()) }

func BenchmarkTwoThreads(b *testing.B) {
	benchmark(b, 2, append(matMulCases(), sequenceCases()...))
}

func BenchmarkCalibration(b *testing.B) {
	for _, threads := range []int{1, 2} {
		b.Run(fmt.Sprintf("%d threads", threads), func(b *testing.B) {
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(FMAPeak(threads), "GFLOP/s")
			b.ReportMetric(Bandwidth(threads), "GB/s")
		})
	}
}
