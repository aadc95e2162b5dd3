// Package cpu is the CPU backend: it compiles op descriptions into work for a
// pool of threads, with AVX2/FMA assembly where the processor has it and
// portable Go everywhere.
//
// How an op becomes work: lower turns it into one or more stages (stage.go).
// A batch stage works on images (slices of the leading axis) that do not
// depend on each other; a private stage is cut into parts of its own. The
// scheduler (schedule.go) strings neighbouring batch stages together into a
// region that runs chunk by chunk of images, so that normalisation reads what
// the convolution just wrote while it is still in cache, without a fused
// kernel for every combination.
//
// Promise: parts and chunks follow from shapes alone and every partial sum is
// folded in a fixed order, so the number of threads never changes a bit.
//
// The portable kernels (reference*.go) define what every op means; they are
// the oracle of the conformance suite in kernels/kernelstest.
package cpu

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/cpu"
)

// Options choose how a device computes. The zero value is a good default.
type Options struct {
	// Threads that compute, the caller of Run included. 0 means one for
	// each processor that Go may use.
	Threads int
	// Portable forces the reference kernels. The environment variable
	// ESPALIER_PORTABLE=1 does the same.
	Portable bool
	// CPUs pins thread i to processor CPUs[i]; nil leaves threads alone.
	CPUs []int
	// Spin is how many rounds of about 0.3 µs an idle thread spins before
	// it sleeps; negative means never, for more threads than processors.
	// 0 means 2000.
	Spin int
}

// Device computes on the threads of this process.
type Device struct {
	pool     *pool
	portable bool
	plans    gradPlans
}

// HasAVX2 reports whether the assembly kernels can run here.
func HasAVX2() bool { return cpu.X86.HasAVX2 && cpu.X86.HasFMA && runtime.GOARCH == "amd64" }

// New starts a device and its threads. Close stops them.
func New(o Options) (*Device, error) {
	if o.Threads == 0 {
		o.Threads = runtime.GOMAXPROCS(0)
	}
	if o.Threads < 1 || o.Threads > 1024 {
		return nil, fmt.Errorf("cpu: %d threads: want 1 to 1024", o.Threads)
	}
	if o.CPUs != nil && len(o.CPUs) < o.Threads {
		return nil, fmt.Errorf("cpu: %d processors for %d threads", len(o.CPUs), o.Threads)
	}
	if s := os.Getenv("ESPALIER_PORTABLE"); s != "" {
		on, err := strconv.ParseBool(s)
		if err != nil {
			return nil, fmt.Errorf("cpu: ESPALIER_PORTABLE=%q: want 0 or 1", s)
		}
		o.Portable = o.Portable || on
	}
	if o.Spin == 0 {
		o.Spin = 2000
	}
	return &Device{pool: newPool(o.Threads, max(o.Spin, 0), o.CPUs), portable: o.Portable || !HasAVX2()}, nil
}

// Threads is the number of computing threads.
func (d *Device) Threads() int { return d.pool.size }

// Portable reports whether the device uses the reference kernels.
func (d *Device) Portable() bool { return d.portable }

// Name says which kernels run on how many threads.
func (d *Device) Name() string {
	k := "avx2"
	if d.portable {
		k = "portable"
	}
	return fmt.Sprintf("cpu %s %d threads", k, d.pool.size)
}

// Close stops the threads. Executables of the device must not run any more.
func (d *Device) Close() error {
	d.pool.close()
	return nil
}

var errClosed = errors.New("cpu: executable is closed")
