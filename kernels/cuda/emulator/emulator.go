//go:build emulated

package emulator

// #cgo CXXFLAGS: -std=c++17 -O2 -Wall
// #cgo LDFLAGS: -lstdc++ -lpthread
// #include <stdlib.h>
// int emulator_launch(const char*, const unsigned*, const unsigned*, size_t, void**, int, unsigned, char*, size_t);
// int emulator_parameters(const char*);
// size_t emulator_parameter_size(const char*, int);
import "C"

import (
	"errors"
	"fmt"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/espalier-ml/espalier/kernels/cuda"
	_ "github.com/espalier-ml/espalier/kernels/cuda/src" // a changed kernel rebuilds this package
)

// Options choose how kernels run. The zero value runs threads in turn on one
// thread of the machine.
type Options struct {
	Threads int    // of the machine that share the blocks of a launch
	Seed    uint32 // of a random order of a block's threads; 0: in turn
}

// Driver implements cuda.Driver.
type Driver struct {
	o    Options
	mu   sync.Mutex
	maps map[uint64][]byte
}

var _ cuda.Driver = (*Driver)(nil)

// New makes a driver.
func New(o Options) *Driver { return &Driver{o: o, maps: map[uint64][]byte{}} }

// Name implements cuda.Driver.
func (d *Driver) Name() string {
	return fmt.Sprintf("emulated on %d threads, order %d", max(d.o.Threads, 1), d.o.Seed)
}

// Alloc maps fresh memory, which the host sees at the same address.
func (d *Driver) Alloc(n int) (uint64, []byte, error) {
	b, err := unix.Mmap(-1, 0, max(n, 1), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return 0, nil, err
	}
	addr := uint64(uintptr(unsafe.Pointer(&b[0])))
	d.mu.Lock()
	defer d.mu.Unlock()
	d.maps[addr] = b
	return addr, b, nil
}

// Free unmaps memory.
func (d *Driver) Free(addr uint64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	b, ok := d.maps[addr]
	if !ok {
		return fmt.Errorf("free of %#x, which was not allocated or is freed", addr)
	}
	delete(d.maps, addr)
	return unix.Munmap(b)
}

// Outstanding is the number of allocations that were not freed.
func (d *Driver) Outstanding() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.maps)
}

// at returns n bytes of the memory that holds addr.
func (d *Driver) at(addr uint64, n int) ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for base, b := range d.maps {
		if addr >= base && addr-base <= uint64(len(b)) && n <= len(b)-int(addr-base) {
			return b[addr-base:][:n], nil
		}
	}
	return nil, fmt.Errorf("%d bytes at %#x are not allocated", n, addr)
}

// ToDevice implements cuda.Driver.
func (d *Driver) ToDevice(addr uint64, from []byte) error {
	to, err := d.at(addr, len(from))
	copy(to, from)
	return err
}

// FromDevice implements cuda.Driver.
func (d *Driver) FromDevice(to []byte, addr uint64) error {
	from, err := d.at(addr, len(to))
	copy(to, from)
	return err
}

// Synchronize has nothing to wait for: launches return when they have ended.
func (d *Driver) Synchronize() error { return nil }

// Close unmaps all memory.
func (d *Driver) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	var errs []error
	for _, b := range d.maps {
		errs = append(errs, unix.Munmap(b))
	}
	clear(d.maps)
	return errors.Join(errs...)
}

// Launch runs a kernel to its end.
func (d *Driver) Launch(l *cuda.Launch) error {
	name := C.CString(l.Kernel)
	defer C.free(unsafe.Pointer(name))
	if n := int(C.emulator_parameters(name)); n < 0 {
		return errors.New("there is no such kernel")
	} else if n != len(l.Args) {
		return fmt.Errorf("%d arguments, the kernel takes %d", len(l.Args), n)
	}
	for i, a := range l.Args {
		if want := int(C.emulator_parameter_size(name, C.int(i))); want != a.Size {
			return fmt.Errorf("argument %d has %d bytes, the kernel takes %d", i, a.Size, want)
		}
	}
	slots := (*C.ulonglong)(C.calloc(C.size_t(len(l.Args)+1), 16)) // values, then pointers to them
	defer C.free(unsafe.Pointer(slots))
	values := unsafe.Slice((*uint64)(unsafe.Pointer(slots)), 2*len(l.Args)+2)
	pointers := values[len(l.Args)+1:]
	for i, a := range l.Args {
		values[i] = a.Bits
		pointers[i] = uint64(uintptr(unsafe.Pointer(&values[i])))
	}
	grid, block := sizes(l.Grid), sizes(l.Block)
	var message [512]C.char
	if C.emulator_launch(name, &grid[0], &block[0], C.size_t(l.Shared), (*unsafe.Pointer)(unsafe.Pointer(&pointers[0])),
		C.int(d.o.Threads), C.uint(d.o.Seed), &message[0], 512) != 0 {
		return errors.New(C.GoString(&message[0]))
	}
	return nil
}

func sizes(n [3]int) (c [3]C.uint) {
	for i, v := range n {
		c[i] = C.uint(v)
	}
	return c
}
