package checkpoint

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"unicode/utf8"
)

// DType is an element type by its safetensors name.
type DType string

// The element types that are read and written. All are little-endian.
const (
	F64  DType = "F64"
	F32  DType = "F32"
	F16  DType = "F16"
	BF16 DType = "BF16"
	I64  DType = "I64"
	I32  DType = "I32"
	I8   DType = "I8"
	U8   DType = "U8" // also packed low-bit values and masks
)

// Size is the number of bytes of one element, 0 for an unknown type.
func (d DType) Size() int {
	switch d {
	case F64, I64:
		return 8
	case F32, I32:
		return 4
	case F16, BF16:
		return 2
	case I8, U8:
		return 1
	}
	return 0
}

// Tensor is a dense row-major array: Data holds the elements of Shape one
// after the other. A Shape of length 0 is a scalar; a 0 in it means no data.
type Tensor struct {
	Name  string
	DType DType
	Shape []int
	Data  []byte
}

// metadataKey is the one name a tensor can't have.
const metadataKey = "__metadata__"

// Bytes is the length that Data must have.
func (t Tensor) Bytes() (int64, error) { return byteLen(t.Name, t.DType, t.Shape) }

func byteLen(name string, d DType, shape []int) (int64, error) {
	if d.Size() == 0 {
		return 0, fmt.Errorf("tensor %q: %w %q; known are F64 F32 F16 BF16 I64 I32 I8 U8", name, ErrUnknownDType, string(d))
	}
	n := uint64(d.Size())
	for _, dim := range shape {
		if dim < 0 {
			return 0, fmt.Errorf("tensor %q: %w: %v", name, ErrShapeOverflow, shape)
		}
		hi, lo := bits.Mul64(n, uint64(dim))
		if hi != 0 || lo > math.MaxInt64 {
			return 0, fmt.Errorf("tensor %q: %w: %v", name, ErrShapeOverflow, shape)
		}
		n = lo
	}
	return int64(n), nil
}

// checkName refuses what the header can't carry or other readers trip over.
func checkName(name string) error {
	if name == "" || name == metadataKey || !utf8.ValidString(name) {
		return fmt.Errorf("%w %q", ErrBadName, name)
	}
	return nil
}

// checkLayout refuses tensors that can't be written; data are not looked at.
func checkLayout(tensors []Tensor) error {
	seen := make(map[string]bool, len(tensors))
	for _, t := range tensors {
		if err := checkName(t.Name); err != nil {
			return err
		}
		if seen[t.Name] {
			return fmt.Errorf("%w %q", ErrDuplicateName, t.Name)
		}
		seen[t.Name] = true
		if _, err := t.Bytes(); err != nil {
			return err
		}
	}
	return nil
}

// checkTensors is checkLayout and the lengths of the data.
func checkTensors(tensors []Tensor) error {
	if err := checkLayout(tensors); err != nil {
		return err
	}
	for _, t := range tensors {
		if err := t.checkLength(); err != nil {
			return err
		}
	}
	return nil
}

func (t Tensor) checkLength() error {
	n, err := t.Bytes()
	if err == nil && n != int64(len(t.Data)) {
		err = fmt.Errorf("tensor %q: %w: %d bytes, want %d for %s%v", t.Name, ErrLength, len(t.Data), n, t.DType, t.Shape)
	}
	return err
}

// Float32s makes an F32 tensor from a copy of values.
func Float32s(name string, shape []int, values []float32) Tensor {
	t := Tensor{Name: name, DType: F32, Shape: append([]int(nil), shape...), Data: make([]byte, 4*len(values))}
	PutFloat32s(t.Data, values)
	return t
}

// PutFloat32s writes src into dst as F32 data; dst is 4·len(src) bytes.
func PutFloat32s(dst []byte, src []float32) {
	dst = dst[:4*len(src)]
	for len(src) >= 4 {
		d, s := dst[:16], src[:4]
		binary.LittleEndian.PutUint32(d, math.Float32bits(s[0]))
		binary.LittleEndian.PutUint32(d[4:], math.Float32bits(s[1]))
		binary.LittleEndian.PutUint32(d[8:], math.Float32bits(s[2]))
		binary.LittleEndian.PutUint32(d[12:], math.Float32bits(s[3]))
		dst, src = dst[16:], src[4:]
	}
	for i, v := range src {
		binary.LittleEndian.PutUint32(dst[4*i:], math.Float32bits(v))
	}
}

// CopyFloat32s writes the values of an F32 tensor into dst, which must have
// exactly its number of elements.
func (t Tensor) CopyFloat32s(dst []float32) error {
	if t.DType != F32 {
		return fmt.Errorf("tensor %q: %s, want F32", t.Name, t.DType)
	}
	if len(t.Data) != 4*len(dst) {
		return fmt.Errorf("tensor %q: %w: %d bytes, want %d for %d values", t.Name, ErrLength, len(t.Data), 4*len(dst), len(dst))
	}
	src := t.Data
	for i := range dst {
		dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(src[4*i:]))
	}
	return nil
}
