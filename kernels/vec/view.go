package vec

import "unsafe"

// Number is an element type whose memory may be seen as bytes.
type Number interface{ float32 | float64 | int64 }

// Bytes is the memory of v, byte by byte, in the machine's order.
func Bytes[T Number](v []T) []byte {
	var t T
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(v))), len(v)*int(unsafe.Sizeof(t)))
}

// Of sees memory as whole elements; bytes beyond the last one are left out.
// The memory must be aligned for them, as that of Bytes at a multiple of the
// element's size is, and of any []byte of 8 bytes or more from the heap.
func Of[T Number](mem []byte) []T {
	var t T
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(mem))), len(mem)/int(unsafe.Sizeof(t)))
}
