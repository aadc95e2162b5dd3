package cpu_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"golang.org/x/sys/unix"

	"github.com/espalier-ml/espalier/kernels"
	"github.com/espalier-ml/espalier/kernels/cpu"
)

// convShapes are the layers that the goals name; n is set by the benchmark.
var convShapes = []struct {
	name string
	convCase
}{
	{"16, 32x32", convCase{0, 32, 32, 16, 16, 3, 3, 1, 1, 1}},
	{"32, 16x16", convCase{0, 16, 16, 32, 32, 3, 3, 1, 1, 1}},
	{"64, 8x8", convCase{0, 8, 8, 64, 64, 3, 3, 1, 1, 1}},
	{"64-128, 16x16", convCase{0, 16, 16, 64, 128, 3, 3, 1, 1, 1}},
	{"256, 8x8", convCase{0, 8, 8, 256, 256, 3, 3, 1, 1, 1}},
	{"512, 4x4", convCase{0, 4, 4, 512, 512, 3, 3, 1, 1, 1}},
	{"512, 2x2", convCase{0, 2, 2, 512, 512, 3, 3, 1, 1, 1}},
	{"3-16, 32x32", convCase{0, 32, 32, 3, 16, 3, 3, 1, 1, 1}},
	{"3-64, 32x32", convCase{0, 32, 32, 3, 64, 3, 3, 1, 1, 1}},
	{"1-32, 28x28", convCase{0, 28, 28, 1, 32, 3, 3, 1, 1, 1}},
	{"16-32 s2, 32x32", convCase{0, 32, 32, 16, 32, 3, 3, 2, 1, 1}},
	{"32-64 s2, 16x16", convCase{0, 16, 16, 32, 64, 3, 3, 2, 1, 1}},
	{"16-32 1x1 s2, 32x32", convCase{0, 32, 32, 16, 32, 1, 1, 2, 0, 1}},
	{"64-256 1x1, 16x16", convCase{0, 16, 16, 64, 256, 1, 1, 1, 0, 1}},
	{"512 1x1, 4x4", convCase{0, 4, 4, 512, 512, 1, 1, 1, 0, 1}},
	{"3-64 7x7 s2, 64x64", convCase{0, 64, 64, 3, 64, 7, 7, 2, 3, 1}},
	{"16 5x5, 16x16", convCase{0, 16, 16, 16, 16, 5, 5, 1, 2, 1}},
	{"64 in 4 groups, 16x16", convCase{0, 16, 16, 64, 64, 3, 3, 1, 1, 4}},
	{"64 depthwise, 16x16", convCase{0, 16, 16, 64, 64, 3, 3, 1, 1, 64}},
	{"64 depthwise s2, 16x16", convCase{0, 16, 16, 64, 64, 3, 3, 2, 1, 64}},
	{"512 depthwise, 4x4", convCase{0, 4, 4, 512, 512, 3, 3, 1, 1, 512}},
	{"4, 32x32", convCase{0, 32, 32, 4, 4, 3, 3, 1, 1, 1}},
	{"6, 32x32", convCase{0, 32, 32, 6, 6, 3, 3, 1, 1, 1}},
	{"8, 32x32", convCase{0, 32, 32, 8, 8, 3, 3, 1, 1, 1}},
	{"10, 32x32", convCase{0, 32, 32, 10, 10, 3, 3, 1, 1, 1}},
	{"20, 16x16", convCase{0, 16, 16, 20, 20, 3, 3, 1, 1, 1}},
	{"34, 8x8", convCase{0, 8, 8, 34, 34, 3, 3, 1, 1, 1}},
	{"45, 8x8", convCase{0, 8, 8, 45, 45, 3, 3, 1, 1, 1}},
}

// BenchmarkConv prints one table: the GFLOP/s of whole ops on one thread,
// packing of weights and folding of sums included, and % of the FMA peak. As
// usual, taps in the padding count as work; the column "taps" says how many %
// do not lie there, which is what the kernels compute. Depthwise ops and those
// with few channels are bound by memory; its rate stands in the head. CONV
// picks shapes whose name contains it.
func BenchmarkConv(b *testing.B) {
	needAVX2Conv(b)
	d := openConv(b, cpu.Options{Threads: 1})
	peak := cpu.FMAPeak(1)
	for range 4 {
		peak = max(peak, cpu.FMAPeak(1))
	}
	t := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(t, "\nFMA peak %.0f GFLOP/s, triad %.1f GB/s\tn\ttaps\tforward\t%%\tinput\t%%\tweight\t%%\t\n", peak, cpu.Bandwidth(1))
	for _, s := range convShapes {
		if !strings.Contains(s.name, os.Getenv("CONV")) {
			continue
		}
		for _, n := range []int{32, 128} {
			s.n = n
			fmt.Fprintf(t, "%s\t%d\t%.0f", s.name, n, 100*s.tapsMet())
			all := s.ops()
			for _, o := range []convOp{all[0], all[1], all[2]} {
				rate := s.rate(b, d, o)
				fmt.Fprintf(t, "\t%.1f\t%.0f", rate, 100*rate/peak)
			}
			fmt.Fprint(t, "\t\n")
		}
	}
	t.Flush()
	b.ReportMetric(0, "ns/op")
}

// tapsMet is the share of taps that do not fall into the padding.
func (s convCase) tapsMet() float64 {
	share := func(in, k int) float64 {
		out, met := s.geometry().Out(in, k), 0
		for o := range out {
			for t := range k {
				if i := o*s.stride + t - s.pad; i >= 0 && i < in {
					met++
				}
			}
		}
		return float64(met) / float64(out*k)
	}
	return share(s.h, s.kh) * share(s.w, s.kw)
}

// rate is the GFLOP/s of an op by the processor time of the process: median
// of several runs.
func (s convCase) rate(b *testing.B, d *cpu.Device, o convOp) float64 {
	size := 0
	for _, t := range o.all { // staggered, as in an arena
		t.Off = size
		size += (t.Bytes()+63)&^63 + 17*64
	}
	buf, err := d.Alloc(size)
	if err != nil {
		b.Fatal(err)
	}
	defer buf.Close()
	for _, t := range o.all {
		t.Buf = buf
	}
	o.fill()
	x, err := d.Compile([]kernels.Op{o.op})
	if err != nil {
		b.Fatal(err)
	}
	env := &kernels.Env{}
	var took []time.Duration
	x.Run(env, nil)
	for from := time.Now(); len(took) < 5 || time.Since(from) < 150*time.Millisecond && len(took) < 1000; {
		t := processTime()
		x.Run(env, nil)
		took = append(took, processTime()-t)
	}
	slices.Sort(took)
	x.Close()
	_, w, y := s.sides()
	flops := 2 * float64(y[0]*y[1]*y[2]) * float64(w[0]*w[1]*w[2]*w[3])
	return flops / float64(took[len(took)/2].Nanoseconds())
}

func processTime() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &ts); err != nil {
		panic(err)
	}
	return time.Duration(ts.Nano())
}
