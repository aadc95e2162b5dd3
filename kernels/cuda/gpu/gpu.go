//go:build cuda

package gpu

// #cgo CFLAGS: -I${SRCDIR}/../cudashim/include
// #include "launch.h"
import "C"

import (
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"sync"
	"unsafe"

	"gorgonia.org/cu"

	"github.com/espalier-ml/espalier/kernels/cuda"
	"github.com/espalier-ml/espalier/kernels/cuda/cudashim"
	"github.com/espalier-ml/espalier/kernels/cuda/src"
)

// Compile turns a file of sources into code for an architecture (sm_NN).
type Compile func(sources fs.FS, file, arch string) ([]byte, error)

// Driver implements cuda.Driver on one GPU.
type Driver struct {
	compile   Compile
	calls     chan func()
	once      sync.Once
	closed    error
	device    cu.Device
	name      string
	arch      string
	held      bool // the primary context
	stream    *cu.Stream
	files     map[string]string // of each kernel
	loaded    map[string]cu.Module
	functions map[string]C.CUfunction
	live      map[uint64]bool
	values    []C.uint64_t
}

var _ cuda.Driver = (*Driver)(nil)

// Open takes the GPU of that number. Kernels are compiled when first launched.
func Open(number int, compile Compile) (*Driver, error) {
	if err := cudashim.Available(); err != nil {
		return nil, fmt.Errorf("gpu: %w", err)
	}
	files, err := src.Kernels()
	if err != nil {
		return nil, fmt.Errorf("gpu: %w", err)
	}
	d := &Driver{compile: compile, calls: make(chan func()), device: cu.Device(number), files: files,
		loaded: map[string]cu.Module{}, functions: map[string]C.CUfunction{}, live: map[uint64]bool{}}
	go d.serve()
	if err := d.do(d.open); err != nil {
		return nil, errors.Join(fmt.Errorf("gpu: open GPU %d: %w", number, err), d.Close())
	}
	return d, nil
}

// serve runs all calls on one thread, because a context is current by thread.
func (d *Driver) serve() {
	runtime.LockOSThread() // the thread ends with the goroutine
	for f := range d.calls {
		f()
	}
}

var errClosed = errors.New("driver is closed")

func (d *Driver) do(f func() error) (err error) {
	done := make(chan struct{})
	defer func() {
		if recover() != nil { // calls is closed
			err = errClosed
		}
	}()
	d.calls <- func() {
		defer close(done)
		err = f()
	}
	<-done
	return err
}

func called(what string, err error) error {
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// status is called for calls that answer with a number.
func status(what string, rc C.CUresult) error {
	if rc == 0 {
		return nil
	}
	var name *C.char
	C.cuGetErrorName(rc, &name)
	return fmt.Errorf("%s: status %d %s", what, int(rc), C.GoString(name))
}

func (d *Driver) open() error {
	n, err := cu.NumDevices()
	if err != nil || int(d.device) >= n || d.device < 0 {
		return errors.Join(called("count GPUs", err), fmt.Errorf("there are %d GPUs", n))
	}
	name, err := d.device.Name()
	if err != nil {
		return called("name", err)
	}
	major, minor, err := d.device.ComputeCapability()
	if err != nil {
		return called("compute capability", err)
	}
	d.name, d.arch = name, fmt.Sprintf("sm_%d%d", major, minor)
	ctx, err := d.device.RetainPrimaryCtx()
	if err != nil {
		return called("retain the primary context", err)
	}
	d.held = true
	if err := cu.SetCurrentContext(ctx); err != nil {
		return called("set the context", err)
	}
	s, err := cu.MakeStream(1) // does not wait for the default stream
	if err != nil {
		return called("make a stream", err)
	}
	d.stream = &s
	return nil
}

// Name is the GPU's name and architecture.
func (d *Driver) Name() string { return d.name + " " + d.arch }

// Memory is the GPU's free and total memory in bytes.
func (d *Driver) Memory() (free, total int64, err error) {
	err = d.do(func() (err error) {
		free, total, err = cu.MemInfo()
		return called("memory info", err)
	})
	return free, total, err
}

// Alloc returns zeroed memory.
func (d *Driver) Alloc(n int) (addr uint64, host []byte, err error) {
	words := int64(n+3) / 4
	err = d.do(func() error {
		p, err := cu.MemAlloc(4 * words)
		if err != nil {
			return called("allocate", err)
		}
		if err := cu.MemsetD32Async(p, 0, words, *d.stream); err != nil {
			return errors.Join(called("clear", err), called("free", cu.MemFree(p)))
		}
		addr = uint64(p)
		d.live[addr] = true
		return nil
	})
	return addr, nil, err
}

// Free gives memory back.
func (d *Driver) Free(addr uint64) error {
	return d.do(func() error {
		if !d.live[addr] {
			return fmt.Errorf("free of %#x, which was not allocated or is freed", addr)
		}
		delete(d.live, addr)
		return called("free", cu.MemFree(cu.DevicePtr(addr)))
	})
}

// ToDevice copies after all launches so far.
func (d *Driver) ToDevice(addr uint64, from []byte) error {
	return d.do(func() error {
		if err := d.synchronize(); err != nil || len(from) == 0 {
			return err
		}
		// Not through cu: only in this form cgo looks at the slice alone, not
		// at the structure that it may be part of.
		return status("copy to the device", C.cuMemcpyHtoD_v2(C.CUdeviceptr(addr), unsafe.Pointer(&from[0]), C.size_t(len(from))))
	})
}

// FromDevice copies after all launches so far.
func (d *Driver) FromDevice(to []byte, addr uint64) error {
	return d.do(func() error {
		if err := d.synchronize(); err != nil || len(to) == 0 {
			return err
		}
		return status("copy from the device", C.cuMemcpyDtoH_v2(unsafe.Pointer(&to[0]), C.CUdeviceptr(addr), C.size_t(len(to))))
	})
}

// Synchronize waits for the stream.
func (d *Driver) Synchronize() error { return d.do(d.synchronize) }

func (d *Driver) synchronize() error { return called("wait for the stream", d.stream.Synchronize()) }

// Launch puts a kernel on the stream.
func (d *Driver) Launch(l *cuda.Launch) error { return d.do(func() error { return d.launch(l) }) }

func (d *Driver) launch(l *cuda.Launch) error {
	f, err := d.function(l.Kernel)
	if err != nil {
		return err
	}
	d.values = d.values[:0]
	for _, a := range l.Args {
		d.values = append(d.values, C.uint64_t(a.Bits))
	}
	var dims [6]C.uint
	for i := range 3 {
		dims[i], dims[3+i] = C.uint(l.Grid[i]), C.uint(l.Block[i])
	}
	return launched(l, C.gpu_launch(f, &dims[0], C.uint(l.Shared), C.CUstream(unsafe.Pointer(d.stream.C())), unsafe.SliceData(d.values), C.int(len(d.values))))
}

// launched is status for a launch.
func launched(l *cuda.Launch, rc C.CUresult) error {
	if rc == 0 {
		return nil
	}
	return status(fmt.Sprintf("launch of %v blocks of %v threads", l.Grid, l.Block), rc)
}

// function finds a kernel, and compiles and loads its file the first time.
func (d *Driver) function(kernel string) (C.CUfunction, error) {
	if f, ok := d.functions[kernel]; ok {
		return f, nil
	}
	file, ok := d.files[kernel]
	if !ok {
		return nil, errors.New("there is no such kernel")
	}
	m, ok := d.loaded[file]
	if !ok {
		code, err := d.compile(src.Files, file, d.arch)
		if err != nil {
			return nil, err
		}
		if m, err = cu.LoadData(string(code)); err != nil {
			return nil, called("load "+file, err)
		}
		d.loaded[file] = m
	}
	f, err := m.Function(kernel)
	if err != nil {
		return nil, called("find in "+file, err)
	}
	d.functions[kernel] = *(*C.CUfunction)(unsafe.Pointer(&f)) // a struct of this one handle
	return d.functions[kernel], nil
}

// Close gives back all memory, modules, the stream and the context. A second
// Close answers as the first did.
func (d *Driver) Close() error {
	d.once.Do(func() {
		d.closed = d.do(d.close)
		close(d.calls)
	})
	return d.closed
}

func (d *Driver) close() error {
	var errs []error
	if d.stream != nil {
		errs = append(errs, d.synchronize())
	}
	for addr := range d.live {
		errs = append(errs, called("free", cu.MemFree(cu.DevicePtr(addr))))
	}
	for file, m := range d.loaded {
		errs = append(errs, called("unload "+file, m.Unload()))
	}
	if d.stream != nil {
		errs = append(errs, called("destroy the stream", d.stream.Destroy()))
	}
	if d.held {
		errs = append(errs, status("release the primary context", C.cuDevicePrimaryCtxRelease_v2(C.CUdevice(d.device))))
	}
	return errors.Join(errs...)
}
