//go:build emulated

package emulator_test

import (
	"strings"
	"testing"
	"unsafe"

	"github.com/espalier-ml/espalier/kernels/cuda"
	"github.com/espalier-ml/espalier/kernels/cuda/emulator"
)

// bench holds device memory of a test that launches kernels by itself.
type bench struct {
	t *testing.T
	d *emulator.Driver
}

func newBench(t *testing.T, o emulator.Options) *bench {
	b := &bench{t, emulator.New(o)}
	t.Cleanup(func() { b.d.Close() })
	return b
}

// put copies values to the device and returns their address and the device's copy.
func put[T float32 | int32 | uint64](b *bench, values []T) (cuda.Arg, []T) {
	size := int(unsafe.Sizeof(values[0]))
	addr, host, err := b.d.Alloc(size * len(values))
	if err != nil {
		b.t.Fatal(err)
	}
	there := unsafe.Slice((*T)(unsafe.Pointer(&host[0])), len(values))
	copy(there, values)
	return cuda.Arg{Bits: addr, Size: 8}, there
}

func number(n int) cuda.Arg { return cuda.Arg{Bits: uint64(uint32(n)), Size: 4} }

func (b *bench) launch(kernel string, blocks, threads int, args ...cuda.Arg) error {
	return b.d.Launch(&cuda.Launch{Kernel: kernel, Grid: [3]int{blocks, 1, 1}, Block: [3]int{threads, 1, 1}, Args: args})
}

func (b *bench) must(kernel string, blocks, threads int, args ...cuda.Arg) {
	b.t.Helper()
	if err := b.launch(kernel, blocks, threads, args...); err != nil {
		b.t.Fatal(err)
	}
}

// Mistakes are errors that say what is wrong, and the emulator goes on.
func TestMistakesAreErrors(t *testing.T) {
	for _, seed := range []uint32{0, 7} {
		b := newBench(t, emulator.Options{Seed: seed})
		p, x := put(b, make([]float32, 64))
		for _, c := range []struct {
			name            string
			kernel          string
			blocks, threads int
			args            []cuda.Arg
			want            string
		}{
			{"a barrier that some threads miss", "faulty_barrier", 1, 64, []cuda.Arg{p}, "deadlock: of 64 threads 24 ended, 40 wait"},
			{"a mask that names a lane which ended", "faulty_mask", 1, 64, []cuda.Arg{p}, "deadlock"},
			{"no such kernel", "nothing", 1, 64, []cuda.Arg{p}, "no such kernel"},
			{"too few arguments", "fill", 1, 64, []cuda.Arg{p}, "1 arguments, the kernel takes 3"},
			{"an argument of another size", "fill", 1, 64, []cuda.Arg{p, p, number(64)}, "argument 1 has 8 bytes, the kernel takes 4"},
			{"a block of too many threads", "fill", 1, 2048, []cuda.Arg{p, number(0), number(64)}, "beyond CUDA's limits"},
			{"no block", "fill", 0, 64, []cuda.Arg{p, number(0), number(64)}, "beyond CUDA's limits"},
		} {
			err := b.launch(c.kernel, c.blocks, c.threads, c.args...)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("order %d: %s: error %v, want one with %q", seed, c.name, err, c.want)
			}
			b.must("fill", 1, 64, p, number(0x3f800000), number(64))
			if x[63] != 1 {
				t.Fatalf("after %s the emulator computes %g, want 1", c.name, x[63])
			}
			x[63] = 0
		}
	}
}

func TestMemory(t *testing.T) {
	d := emulator.New(emulator.Options{})
	a, _, err := d.Alloc(100)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.ToDevice(a+4, make([]byte, 100)); err == nil {
		t.Error("copy beyond an allocation went through")
	}
	if err := d.FromDevice(make([]byte, 96), a+4); err != nil {
		t.Error(err)
	}
	if err := d.Free(a + 4); err == nil {
		t.Error("free of what was not allocated went through")
	}
	if err := d.Free(a); err != nil || d.Outstanding() != 0 {
		t.Errorf("free: %v, %d allocations left", err, d.Outstanding())
	}
	if err := d.Free(a); err == nil {
		t.Error("second free went through")
	}
	if _, _, err := d.Alloc(1); err != nil || d.Outstanding() != 1 || d.Close() != nil || d.Outstanding() != 0 {
		t.Error("close leaves memory")
	}
}
