package cpu

import (
	"fmt"

	"github.com/espalier-ml/espalier/kernels"
)

// A stage is one piece of an op's work. Stages of an op run in order.
//
// A batch stage (images > 0) treats the leading axis as images that do not
// depend on each other: of every operand that another batch stage may have
// written, it touches for image i only the i-th of `images` equal slices.
// Neighbouring batch stages of equally many images are interleaved. Sums over
// images are kept in scratch memory of one slice per part and folded by a
// private stage.
//
// A private stage (images == 0) is cut into `parts` parts that may run at the
// same time. It sees everything that stages before it have written.
//
// Both cuts must follow from shapes alone, never from the number of threads.
type stage struct {
	name          string
	reads, writes []*kernels.Tensor // operands and scratch that order the stage

	images int
	bytes  int                               // batch: memory touched for one image, to size chunks
	batch  func(w *worker, part, lo, hi int) // batch: images [lo, hi) of the part
	parts  int                               // private
	run    func(w *worker, part int)         // private
	mark   int                               // private: ID of a Mark, runs on the caller's thread
	isMark bool
}

// batchParts is the number of parts in which n images are cut.
func batchParts(n int) int {
	if n > 64 {
		return 16
	}
	return min(n, 8)
}

// partRange returns the images [lo, hi) of part p of n images.
func partRange(n, p int) (lo, hi int) {
	k := batchParts(n)
	return p * n / k, (p + 1) * n / k
}

// worker is one thread's context while it runs parts.
type worker struct {
	env     *kernels.Env
	scratch []float32 // private to the thread; contents undefined between calls
}

// floats returns n floats of thread-private scratch memory, 64-byte aligned.
// A stage that needs them must ask for at least as many with lowering.local.
func (w *worker) floats(n int) []float32 { return w.scratch[:n:n] }

// ref is an operand's memory, bound after lowering. Only the slice of the
// operand's type is set.
type ref struct {
	t *kernels.Tensor
	f []float32
	i []int32
	u []uint8
}

// lowering collects what ops need while they are turned into stages.
type lowering struct {
	d         *Device
	refs      map[*kernels.Tensor]*ref
	temps     []scratch
	op        int // index of the op being lowered
	localSize int // floats of thread-private scratch
}

// scratch is a tensor for the stages of one op, whose contents are undefined
// when the op begins: ops that do not run at the same time share memory. That
// of op `always` is its own.
type scratch struct {
	*kernels.Tensor
	op int
}

const always = -1

// ref returns the memory of t, which may be nil. The slices are set when the
// stages run, not yet while the op is lowered.
func (l *lowering) ref(t *kernels.Tensor) *ref {
	if t == nil {
		return &ref{}
	}
	r := l.refs[t]
	if r == nil {
		r = &ref{t: t}
		l.refs[t] = r
	}
	return r
}

// temp returns scratch memory of n floats that keeps its contents between the
// stages of an op: packed weights, partial sums. List it in the reads and
// writes of the stages that share it.
func (l *lowering) temp(name string, n int) *kernels.Tensor {
	t := kernels.New(name, kernels.F32, n)
	l.temps = append(l.temps, scratch{t, l.op})
	return t
}

// zeros returns n floats that are zero and that nobody writes.
func (l *lowering) zeros(name string, n int) *kernels.Tensor {
	t := l.temp(name, n)
	l.temps[len(l.temps)-1].op = always
	return t
}

// local makes sure that worker.floats has n floats.
func (l *lowering) local(n int) { l.localSize = max(l.localSize, n) }

func (l *lowering) bind() {
	for t, r := range l.refs {
		switch t.DType {
		case kernels.F32:
			r.f = F32(t)
		case kernels.I32:
			r.i = I32(t)
		case kernels.U8:
			r.u = U8(t)
		}
	}
}

// lower turns an op into stages: fast kernels where there are some for the
// shape, else the reference.
func (l *lowering) lower(op kernels.Op) ([]stage, error) {
	if err := kernels.Check(op); err != nil {
		return nil, err
	}
	if m, ok := op.(*kernels.Mark); ok {
		return []stage{{name: "mark", reads: m.After, writes: m.After, mark: m.ID, isMark: true}}, nil
	}
	var st []stage
	if !l.d.portable {
		st = l.fast(op)
	}
	if st == nil {
		st = l.reference(op)
	}
	if st == nil {
		return nil, fmt.Errorf("%w: %T on %s", kernels.ErrUnsupported, op, l.d.Name())
	}
	ins, outs := op.Inputs(), op.Outputs()
	for i := range st { // by default a stage touches every operand of its op
		if st[i].reads == nil && st[i].writes == nil {
			st[i].reads, st[i].writes = ins, outs
		}
	}
	return st, nil
}
