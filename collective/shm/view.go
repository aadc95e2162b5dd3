package shm

import (
	"unsafe"

	"github.com/espalier-ml/espalier/collective"
)

// start is the address of a buffer's first element.
func start(b *collective.Buf) unsafe.Pointer {
	switch b.Type() {
	case collective.Float32:
		return unsafe.Pointer(unsafe.SliceData(b.Float32s()))
	case collective.Float64:
		return unsafe.Pointer(unsafe.SliceData(b.Float64s()))
	case collective.Int64:
		return unsafe.Pointer(unsafe.SliceData(b.Int64s()))
	case collective.Uint8:
		return unsafe.Pointer(unsafe.SliceData(b.Bytes()))
	}
	return nil
}

// raw is a buffer's memory, byte by byte.
func raw(b *collective.Buf) []byte { return unsafe.Slice((*byte)(start(b)), b.Size()) }

// typed sees memory as elements. It must be aligned for them.
func typed[T float32 | float64 | int64](mem []byte) []T {
	var t T
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(mem))), len(mem)/int(unsafe.Sizeof(t)))
}

// offsetIn is where a buffer lies in mem, -1 if it does not lie in it whole.
func offsetIn(mem []byte, b *collective.Buf) int64 {
	lo, p := uintptr(unsafe.Pointer(unsafe.SliceData(mem))), uintptr(start(b))
	if b.Size() == 0 || p < lo || p+uintptr(b.Size()) > lo+uintptr(len(mem)) {
		return -1
	}
	return int64(p - lo)
}
