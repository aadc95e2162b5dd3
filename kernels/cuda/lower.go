package cuda

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/espalier-ml/espalier/kernels"
)

// places tells where an executable's memory lies: the environment at base, the
// others at their distance from it.
type places struct {
	base               uint64
	constants, scratch int
}

// lowering turns ops into steps. The first complaint ends it.
type lowering struct {
	places
	d         *Device
	steps     []step
	constants []byte
	scratch   int // most bytes of one op
	taken     int // bytes of the current op
	what      string
	err       error
}

// threads of a block in kernels that care for nothing but whole warps.
const threads = 256

// maxElements bounds operands: kernels count in 32 bits.
const maxElements = 1 << 30

// lower makes the steps of ops for memory at the given places. Their number,
// and the sizes of constants and scratch, do not depend on the places.
func lower(d *Device, ops []kernels.Op, at places) (*lowering, error) {
	l := &lowering{places: at, d: d}
	for i := 0; i < len(ops); {
		n := together(ops[i:])
		l.what, l.taken = describe(i, ops[i], n), 0
		l.admit(ops[i : i+n])
		if l.err == nil && !l.one(ops[i]) {
			l.optim(ops[i : i+n])
		}
		if l.err != nil {
			return nil, fmt.Errorf("cuda: %s: %w", l.what, l.err)
		}
		i += n
	}
	return l, nil
}

func describe(i int, op kernels.Op, n int) string {
	s := fmt.Sprintf("op %d %T", i, op)
	if n > 1 {
		return fmt.Sprintf("%s and %d more", s, n-1)
	}
	for _, t := range op.Inputs() {
		s += " " + t.String()
	}
	return s
}

// admit refuses operands that the kernels cannot index.
func (l *lowering) admit(ops []kernels.Op) {
	for _, op := range ops {
		for _, t := range append(op.Inputs(), op.Outputs()...) {
			if t.Len() > maxElements {
				l.fail("%v has more than %d elements: %w", t, maxElements, kernels.ErrUnsupported)
			}
		}
	}
}

func (l *lowering) fail(format string, args ...any) {
	if l.err == nil {
		l.err = fmt.Errorf(format, args...)
	}
}

// one lowers an op that has its launches for itself; false is left to optim.
func (l *lowering) one(op kernels.Op) bool {
	return l.point(op) || l.shape(op) || l.norm(op) || l.linear(op) || l.sequence(op)
}

// dim is a grid or block of up to three axes.
func dim(n ...int) (d [3]int) {
	for i := range d {
		d[i] = 1
		if i < len(n) {
			d[i] = n[i]
		}
	}
	return d
}

func ceil(a, b int) int { return (a + b - 1) / b }

// launch adds a launch. Arguments are tensors, addresses (uint64), int and bool
// (int32 for the kernel), uint32 and float32.
func (l *lowering) launch(kernel string, grid, block [3]int, shared int, args ...any) {
	if grid[1] > 65535 || grid[2] > 65535 || shared > 48<<10 {
		l.fail("kernel %s would need a grid of %v blocks with %d bytes: %w", kernel, grid, shared, kernels.ErrUnsupported)
		return
	}
	s := step{Launch: Launch{Kernel: kernel, Grid: grid, Block: block, Shared: shared}, what: l.what}
	for _, a := range args {
		s.Args = append(s.Args, l.arg(a))
	}
	l.steps = append(l.steps, s)
}

func (l *lowering) arg(a any) Arg {
	switch v := a.(type) {
	case *kernels.Tensor:
		return Arg{l.addr(v), 8}
	case uint64:
		return Arg{v, 8}
	case int:
		return Arg{uint64(uint32(int32(v))), 4}
	case bool:
		if v {
			return Arg{1, 4}
		}
		return Arg{0, 4}
	case uint32:
		return Arg{uint64(v), 4}
	case float32:
		return Arg{uint64(math.Float32bits(v)), 4}
	}
	panic(fmt.Sprintf("cuda: argument of type %T", a))
}

// each launches a kernel over n elements.
func (l *lowering) each(kernel string, n int, args ...any) {
	l.launch(kernel, dim(min(ceil(n, threads), 8192)), dim(threads), 0, args...)
}

// perRow launches a kernel with a block for every one of n rows.
func (l *lowering) perRow(kernel string, n, cols int, args ...any) {
	l.launch(kernel, dim(n), dim(min(threads, 32*ceil(cols, 32))), 0, args...)
}

// addr is the address of a tensor, 0 for none.
func (l *lowering) addr(t *kernels.Tensor) uint64 {
	if t == nil {
		return 0
	}
	a, err := l.d.address(t)
	if err != nil {
		l.fail("%w", err)
	}
	return a
}

// env is the address of the run's environment.
func (l *lowering) env() uint64 { return l.base }

// temp returns memory of the current op. Ops follow each other on one stream,
// so all of them use the same.
func (l *lowering) temp(bytes int) uint64 {
	a := l.base + uint64(l.places.scratch+l.taken)
	l.taken += align(bytes)
	l.scratch = max(l.scratch, l.taken)
	return a
}

// constant returns the address of data that the executable keeps: numbers, or
// slices or structures of them.
func (l *lowering) constant(data any) uint64 {
	a := l.base + uint64(l.places.constants+len(l.constants))
	b, err := binary.Append(l.constants, binary.LittleEndian, data)
	if err != nil {
		panic(fmt.Sprintf("cuda: constant of type %T: %v", data, err))
	}
	l.constants = append(b, make([]byte, -len(b)&15)...)
	return a
}

// product is the product of dims.
func product(dims []int) int {
	n := 1
	for _, d := range dims {
		n *= d
	}
	return n
}
