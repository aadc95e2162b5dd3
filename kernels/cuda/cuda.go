// Package cuda is the GPU backend: it lowers op descriptions to launches of
// the CUDA C++ kernels in folder src, one stream, in order.
//
// The package itself is plain Go and knows a GPU only through [Driver], a few
// calls of CUDA's driver library. What stands behind decides where the kernels
// run: package gpu drives a GPU (build tag cuda); package emulator runs the very
// same sources on the CPU (build tag emulated), which is how they are tested
// against the portable loops of kernels/cpu without a GPU.
//
// How an op becomes launches: lower*.go, a file an op family. Everything that
// changes from run to run (kernels.Env, optimizer factors) is read from device
// memory, so that the launches of a step are constant and can be captured as
// one graph. Neighbouring optimizer ops of one kind become one launch over a
// table of parameters.
//
// Promises: sums follow an order that is a function of shapes alone, without
// atomics, so a step has the same bits on every run; dropout and quantization
// noise have the CPU's bits; gathers add rows in the order of the reference.
//
// Left to others: finding and loading libraries, streams and graphs (a
// Driver), networks and plans (trainer/graph), communication (collective/nccl).
//
//	d := cuda.New(driver)
//	defer d.Close()
//	exe, err := d.Compile(ops)
package cuda

import (
	"errors"
	"fmt"
	"sync"

	"github.com/espalier-ml/espalier/kernels"
)

// Device computes through a driver. Its methods may be called from several
// goroutines; runs follow each other.
type Device struct {
	driver Driver
	mu     sync.Mutex // one run at a time: the driver has one stream
}

// New makes a device of a driver, which Close closes.
func New(d Driver) *Device { return &Device{driver: d} }

// Name says which driver runs the kernels.
func (d *Device) Name() string { return "cuda " + d.driver.Name() }

// Close closes the driver. Buffers and executables are of no use afterwards.
func (d *Device) Close() error { return d.driver.Close() }

// Schedule gives every op a group of its own: one stream runs them in order.
func (d *Device) Schedule(ops []kernels.Op) ([]kernels.Span, error) {
	spans := make([]kernels.Span, len(ops))
	for i, op := range ops {
		if err := kernels.Check(op); err != nil {
			return nil, fmt.Errorf("op %d: %w", i, err)
		}
		spans[i] = kernels.Span{First: i, Last: i}
	}
	return spans, nil
}

// Compile implements kernels.Device.
func (d *Device) Compile(ops []kernels.Op) (kernels.Executable, error) {
	if _, err := d.Schedule(ops); err != nil {
		return nil, err
	}
	size, err := lower(d, ops, places{}) // how much memory it takes
	if err != nil {
		return nil, err
	}
	x := &executable{d: d}
	at := places{constants: align(envBytes)}
	at.scratch = at.constants + align(len(size.constants))
	if x.buf, err = d.Alloc(at.scratch + size.scratch); err != nil {
		return nil, fmt.Errorf("%d ops: %w", len(ops), err)
	}
	at.base = x.buf.(*Buffer).addr
	l, err := lower(d, ops, at)
	if err == nil && len(l.constants) > 0 {
		err = d.driver.ToDevice(at.base+uint64(at.constants), l.constants)
	}
	if err != nil {
		return nil, errors.Join(err, x.buf.Close())
	}
	x.steps = l.steps
	return x, nil
}

func align(n int) int { return (n + 255) &^ 255 }
