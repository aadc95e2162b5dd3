// Package kernels is the contract between a network and the machine that
// computes it: tensors, descriptions of operations, and devices that compile
// such descriptions into something that runs.
//
// A description (an [Op]: *[MatMul], *[Conv2D], *[BatchNorm], …) says what is
// computed, never how. It names operand [Tensor]s whose memory has been placed
// beforehand, so that an [Executable] runs without allocating. A [Device]
// takes the whole list of a step at once and is free to fuse, reorder and
// overlap what the operands permit: the CPU backend runs neighbouring ops
// image by image while data is in cache, a GPU backend puts them on streams
// and captures a graph.
//
// Promises: descriptions are plain data; [Check] refuses every description
// whose shapes do not fit before a backend sees it; two devices differ only
// by rounding; one device gives the same bits for the same description,
// inputs and [Env], whatever its number of threads.
//
// Left to others: tracing, gradients and memory planning (trainer/graph),
// communication (collective).
//
// Layout: all tensors are dense and row-major. Images are NHWC, convolution
// weights [kh][kw][in/groups][out], linear weights [in][out].
package kernels

import (
	"errors"
	"fmt"
)

// DType is the type of a tensor's elements.
type DType uint8

// Element types.
const (
	F32 DType = iota // IEEE single precision
	I32              // class and token indices
	U8               // small indices, for example of max pooling
)

// Size is the number of bytes of one element.
func (d DType) Size() int {
	if d == U8 {
		return 1
	}
	return 4
}

func (d DType) String() string { return [...]string{"f32", "i32", "u8"}[d] }

// Buffer is memory of a device. Buffers are freed by their device's Close or
// by their own; no tensor may be used afterwards.
type Buffer interface {
	// Bytes is the size of the buffer.
	Bytes() int
	// Host is the memory itself where the host can address it, else nil.
	Host() []byte
	Close() error
}

// Tensor is an operand: a type, a shape and, once planned, its memory.
//
// A tensor with a Base is a view: it shares Base's memory from element
// BaseOff on, and is placed wherever Base is placed.
type Tensor struct {
	Name  string // for messages
	DType DType
	Shape []int

	Base    *Tensor // set for views
	BaseOff int     // elements

	Buf Buffer // nil until placed; ignored for views
	Off int    // bytes from the start of Buf
}

// New returns a tensor without memory.
func New(name string, t DType, shape ...int) *Tensor {
	return &Tensor{Name: name, DType: t, Shape: shape}
}

// View returns a tensor that shares t's memory from element off on.
func (t *Tensor) View(off int, shape ...int) *Tensor {
	v := &Tensor{Name: t.Name, DType: t.DType, Shape: shape, Base: t, BaseOff: off}
	if n := v.Len(); off < 0 || off+n > t.Len() {
		panic(fmt.Sprintf("kernels: view [%d, %d) of %v leaves it", off, off+n, t))
	}
	return v
}

// Root is the tensor that owns t's memory.
func (t *Tensor) Root() *Tensor {
	for t.Base != nil {
		t = t.Base
	}
	return t
}

// Place returns the buffer and the byte offset of t's first element. The
// buffer is nil while the tensor has not been placed.
func (t *Tensor) Place() (Buffer, int) {
	off := 0
	for t.Base != nil {
		off += t.BaseOff * t.DType.Size()
		t = t.Base
	}
	return t.Buf, t.Off + off
}

// Len is the number of elements.
func (t *Tensor) Len() int {
	n := 1
	for _, d := range t.Shape {
		n *= d
	}
	return n
}

// Bytes is the size of the tensor's data.
func (t *Tensor) Bytes() int { return t.Len() * t.DType.Size() }

// Dim is the size of axis i; negative i count from the last axis.
func (t *Tensor) Dim(i int) int {
	if i < 0 {
		i += len(t.Shape)
	}
	return t.Shape[i]
}

// Rows is the product of all axes but the last: the tensor seen as a matrix.
func (t *Tensor) Rows() int { return t.Len() / max(1, t.Dim(-1)) }

func (t *Tensor) String() string {
	if t == nil {
		return "none"
	}
	return fmt.Sprintf("%s %v%v", t.Name, t.DType, t.Shape)
}

// Env is what changes from one run of an executable to the next without
// changing its shapes. It is read only during Run.
type Env struct {
	Seed  uint64 // of the run
	Step  uint64
	Shard int // logical shard whose samples are computed

	// GradScale multiplies the gradient that a loss op starts from: one
	// over the number of samples (or tokens) of the whole global batch.
	GradScale float32

	// Rate and the fields below are read by optimizer ops only.
	Rate        float32 // learning rate of the step before block factors
	GradFactor  float32 // multiplies every gradient first: clipping, 1/V
	WeightDecay float32 // multiplies the op's own decay; 1 in general
}

// Device compiles and runs ops. Its methods may be called from several
// goroutines; an Executable runs in one goroutine at a time.
type Device interface {
	// Name says what the device is, for instance "cpu avx2 2 threads".
	Name() string
	// Alloc returns zeroed memory, aligned for every op.
	Alloc(bytes int) (Buffer, error)
	// Wrap makes memory that somebody else owns, such as the arena of a
	// transport, usable for operands. It must be aligned to 64 bytes. A
	// device that cannot address it returns ErrUnsupported.
	Wrap(mem []float32) (Buffer, error)
	// Write copies host values into a placed tensor, Read out of one. The
	// slice has the tensor's length. Neither allocates.
	WriteF32(t *Tensor, src []float32) error
	WriteI32(t *Tensor, src []int32) error
	ReadF32(t *Tensor, dst []float32) error
	// Schedule tells the planner which ops run interleaved. Op i executes
	// at some time between groups Spans[i].First and Spans[i].Last; all
	// ops whose spans share a group may run at the same time, so none of
	// their operands may share memory. Groups run in order.
	Schedule(ops []Op) ([]Span, error)
	// Compile makes the ops, whose operands must all be placed,
	// executable. Ops execute as if in the order given.
	Compile(ops []Op) (Executable, error)
	Close() error
}

// Span is a closed interval of schedule groups.
type Span struct{ First, Last int }

// Executable is a compiled list of ops.
type Executable interface {
	// Run executes all ops once. onMark, when not nil, is called with the
	// ID of every [Mark] as soon as all ops before it are complete; it
	// must not block for long and must not run the executable.
	Run(env *Env, onMark func(id int)) error
	// Scratch is the number of bytes the executable owns besides operands.
	Scratch() int
	Close() error
}

// ErrUnsupported is wrapped by Compile for an op that a device cannot do.
var ErrUnsupported = errors.New("operation not supported by device")

// Op is the description of one operation.
type Op interface {
	// Inputs and Outputs list the operands, without nils. An operand that
	// is accumulated into stands in both.
	Inputs() []*Tensor
	Outputs() []*Tensor
}
