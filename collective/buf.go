package collective

import "fmt"

// DType is the type of a buffer's elements.
type DType uint8

// The element types. Sums and maxima are defined for all but Uint8.
const (
	Float32 DType = iota + 1
	Float64
	Int64
	Uint8
)

// Size is the number of bytes of an element.
func (t DType) Size() int {
	switch t {
	case Float32:
		return 4
	case Float64, Int64:
		return 8
	case Uint8:
		return 1
	}
	return 0
}

func (t DType) String() string {
	switch t {
	case Float32:
		return "float32"
	case Float64:
		return "float64"
	case Int64:
		return "int64"
	case Uint8:
		return "uint8"
	}
	return fmt.Sprintf("dtype(%d)", uint8(t))
}

// Op is a reduction.
type Op uint8

// The reductions. Max of floats is that of the builtin max: NaN wins.
const (
	Sum Op = iota + 1
	Max
)

func (o Op) String() string {
	switch o {
	case Sum:
		return "sum"
	case Max:
		return "max"
	}
	return fmt.Sprintf("op(%d)", uint8(o))
}

// Buf is a typed run of memory that an operation works on. The zero Buf is
// empty and has no type.
type Buf struct {
	dtype  DType
	n      int
	f32    []float32
	f64    []float64
	i64    []int64
	u8     []byte
	device uintptr
}

// Float32s is host memory as a buffer. The slice is shared, not copied.
func Float32s(x []float32) Buf { return Buf{dtype: Float32, n: len(x), f32: x} }

// Float64s is host memory as a buffer.
func Float64s(x []float64) Buf { return Buf{dtype: Float64, n: len(x), f64: x} }

// Int64s is host memory as a buffer.
func Int64s(x []int64) Buf { return Buf{dtype: Int64, n: len(x), i64: x} }

// Bytes is host memory as a buffer.
func Bytes(x []byte) Buf { return Buf{dtype: Uint8, n: len(x), u8: x} }

// Device is n elements of device memory at an address that only a transport
// for such memory understands.
func Device(t DType, addr uintptr, n int) Buf { return Buf{dtype: t, n: n, device: addr} }

// Type is the type of the elements, Len their number, Size their bytes.
func (b Buf) Type() DType { return b.dtype }

// Len is the number of elements.
func (b Buf) Len() int { return b.n }

// Size is the number of bytes.
func (b Buf) Size() int { return b.n * b.dtype.Size() }

// Float32s is the slice given to the function of that name, else nil.
func (b Buf) Float32s() []float32 { return b.f32 }

// Float64s is the slice given to the function of that name, else nil.
func (b Buf) Float64s() []float64 { return b.f64 }

// Int64s is the slice given to the function of that name, else nil.
func (b Buf) Int64s() []int64 { return b.i64 }

// Bytes is the slice given to the function of that name, else nil.
func (b Buf) Bytes() []byte { return b.u8 }

// Device is the address given to the function of that name, else 0.
func (b Buf) Device() uintptr { return b.device }
