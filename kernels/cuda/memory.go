package cuda

import (
	"fmt"
	"unsafe"

	"github.com/espalier-ml/espalier/kernels"
)

// Buffer is memory of a device.
type Buffer struct {
	d    *Device
	addr uint64
	size int
	host []byte
}

// Alloc returns zeroed memory, aligned to 256 bytes.
func (d *Device) Alloc(n int) (kernels.Buffer, error) {
	if n < 0 {
		return nil, fmt.Errorf("cuda: allocate %d bytes", n)
	}
	addr, host, err := d.driver.Alloc(max(n, 1))
	if err != nil {
		return nil, fmt.Errorf("cuda: allocate %d bytes: %w", n, err)
	}
	if host != nil {
		host = host[:n:n]
	}
	return &Buffer{d: d, addr: addr, size: n, host: host}, nil
}

// Wrap returns kernels.ErrUnsupported: a GPU does not compute in the memory of
// a transport.
func (d *Device) Wrap(mem []float32) (kernels.Buffer, error) {
	return nil, fmt.Errorf("cuda: wrap %d numbers of host memory: %w", len(mem), kernels.ErrUnsupported)
}

// Bytes is the size of the buffer.
func (b *Buffer) Bytes() int { return b.size }

// Host is the memory as the host sees it, or nil.
func (b *Buffer) Host() []byte { return b.host }

// Close frees the memory. A second Close does nothing.
func (b *Buffer) Close() error {
	if b.addr == 0 {
		return nil
	}
	addr := b.addr
	b.addr, b.host = 0, nil
	return b.d.driver.Free(addr)
}

// WriteF32 implements kernels.Device.
func (d *Device) WriteF32(t *kernels.Tensor, src []float32) error {
	return d.copy(t, kernels.F32, len(src), bytesOf(src), d.driver.ToDevice)
}

// WriteI32 implements kernels.Device.
func (d *Device) WriteI32(t *kernels.Tensor, src []int32) error {
	return d.copy(t, kernels.I32, len(src), bytesOf(src), d.driver.ToDevice)
}

// ReadF32 implements kernels.Device.
func (d *Device) ReadF32(t *kernels.Tensor, dst []float32) error {
	return d.copy(t, kernels.F32, len(dst), bytesOf(dst), func(addr uint64, to []byte) error {
		return d.driver.FromDevice(to, addr)
	})
}

func (d *Device) copy(t *kernels.Tensor, want kernels.DType, n int, host []byte, move func(uint64, []byte) error) error {
	if t.DType != want || t.Len() != n {
		return fmt.Errorf("cuda: copy of %d %v elements, the tensor is %v", n, want, t)
	}
	addr, err := d.address(t)
	if err != nil || n == 0 {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return move(addr, host)
}

// address returns where a placed tensor lies.
func (d *Device) address(t *kernels.Tensor) (uint64, error) {
	buf, off := t.Place()
	b, ok := buf.(*Buffer)
	switch {
	case buf == nil:
		return 0, fmt.Errorf("cuda: %v has no memory", t)
	case !ok || b.d != d || b.addr == 0:
		return 0, fmt.Errorf("cuda: %v lies in memory that is not of this device or closed", t)
	case off < 0 || off+t.Bytes() > b.size:
		return 0, fmt.Errorf("cuda: %v lies at %d of %d bytes", t, off, b.size)
	}
	return b.addr + uint64(off), nil
}

func bytesOf[T float32 | int32](s []T) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(s))), 4*len(s))
}
