package cpu

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/espalier-ml/espalier/kernels"
)

// Buffer is anonymous memory outside the Go heap, 64-byte aligned, zeroed.
type Buffer struct {
	b      []byte
	mapped []byte // all of the mapping, at least a byte
}

// Alloc maps fresh memory.
func (d *Device) Alloc(n int) (kernels.Buffer, error) {
	if n < 0 {
		return nil, fmt.Errorf("cpu: allocate %d bytes", n)
	}
	b, err := unix.Mmap(-1, 0, max(n, 1), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return nil, fmt.Errorf("cpu: allocate %d bytes: %w", n, err)
	}
	return &Buffer{b: b[:n:n], mapped: b}, nil
}

// Wrap implements kernels.Device; Close of the result leaves the memory alone.
func (d *Device) Wrap(mem []float32) (kernels.Buffer, error) {
	if len(mem) == 0 {
		return wrapped(nil), nil
	}
	p := unsafe.Pointer(&mem[0])
	if uintptr(p)%64 != 0 {
		return nil, fmt.Errorf("cpu: wrap memory at %p: want 64-byte alignment", p)
	}
	return wrapped(unsafe.Slice((*byte)(p), 4*len(mem))), nil
}

type wrapped []byte

func (w wrapped) Bytes() int   { return len(w) }
func (w wrapped) Host() []byte { return w }
func (w wrapped) Close() error { return nil }

// WriteF32 implements kernels.Device.
func (d *Device) WriteF32(t *kernels.Tensor, src []float32) error { return move(F32(t), src, t) }

// WriteI32 implements kernels.Device.
func (d *Device) WriteI32(t *kernels.Tensor, src []int32) error { return move(I32(t), src, t) }

// ReadF32 implements kernels.Device.
func (d *Device) ReadF32(t *kernels.Tensor, dst []float32) error { return move(dst, F32(t), t) }

func move[T float32 | int32](dst, src []T, t *kernels.Tensor) error {
	if len(dst) != len(src) {
		return fmt.Errorf("cpu: %v has %d elements, the host slice has %d or the reverse", t, len(src), len(dst))
	}
	copy(dst, src)
	return nil
}

// Bytes is the size of the buffer.
func (b *Buffer) Bytes() int { return len(b.b) }

// Host is the memory itself.
func (b *Buffer) Host() []byte { return b.b }

// Close unmaps the memory.
func (b *Buffer) Close() error {
	if b.mapped == nil {
		return nil
	}
	m := b.mapped
	b.b, b.mapped = nil, nil
	return unix.Munmap(m)
}

// F32 returns the elements of a placed f32 tensor. The slice is valid until
// the tensor's buffer is closed.
func F32(t *kernels.Tensor) []float32 { return elems[float32](t, kernels.F32) }

// I32 returns the elements of a placed i32 tensor.
func I32(t *kernels.Tensor) []int32 { return elems[int32](t, kernels.I32) }

// U8 returns the elements of a placed u8 tensor.
func U8(t *kernels.Tensor) []uint8 { return elems[uint8](t, kernels.U8) }

func elems[T float32 | int32 | uint8](t *kernels.Tensor, want kernels.DType) []T {
	if t.DType != want {
		panic(fmt.Sprintf("cpu: %v is no %v", t, want))
	}
	buf, off := t.Place()
	if buf == nil {
		panic(fmt.Sprintf("cpu: %v has no memory", t))
	}
	b := buf.Host()[off : off+t.Bytes()]
	if len(b) == 0 {
		return nil
	}
	return unsafe.Slice((*T)(unsafe.Pointer(&b[0])), t.Len())
}
