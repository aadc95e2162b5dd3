package cpu

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
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

func BenchmarkGemmRaw(b *testing.B) {
	needAVX2(b)
	for _, s := range []struct {
		m, n, k        int
		transA, transB bool
	}{
		{128, 1024, 1024, false, false},
		{128, 1024, 1024, false, true},
		{1024, 1024, 128, true, false},
		{20, 800, 200, false, false},
		{128, 384, 128, false, false},
		{128, 128, 512, false, false},
		{128, 512, 128, false, false},
		{128, 128, 384, false, true},
		{128, 384, 128, true, false},
		{128, 512, 128, true, false},
		{512, 128, 128, true, false},
	} {
		g := &gemm{m: s.m, n: s.n, k: s.k, lda: s.k, ldb: s.n, ldc: s.n, transA: s.transA, transB: s.transB, alpha: 1}
		if s.transA {
			g.lda = s.m
		}
		if s.transB {
			g.ldb = s.k
		}
		a, bb, c := make([]float32, s.m*s.k), make([]float32, s.k*s.n), make([]float32, s.m*s.n)
		for i := range a {
			a[i] = 1
		}
		for i := range bb {
			bb[i] = 1
		}
		packed := make([]float32, g.packedLen(s.n))
		b.Run(fmt.Sprintf("%dx%dx%d-%v-%v", s.m, s.n, s.k, s.transA, s.transB), func(b *testing.B) {
			pk := measure(func() { g.pack(packed, bb, span{0, s.n}) })
			mm := measure(func() { g.run(a, packedB{packed, span{0, s.n}}, c, span{0, s.m}, span{0, s.n}, &epilogue{}) })
			p := peak1()
			fl := 2 * float64(s.m) * float64(s.n) * float64(s.k)
			b.ReportMetric(p, "peak")
			b.ReportMetric(100*fl/float64(mm)/p, "%kernel")
			b.ReportMetric(100*fl/float64(mm+pk)/p, "%withpack")
			b.ReportMetric(float64(pk.Microseconds()), "us-pack")
			b.ReportMetric(float64(mm.Microseconds()), "us-mm")
			b.ReportMetric(0, "ns/op")
		})
	}
}
