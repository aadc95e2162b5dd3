package cpu

import (
	"fmt"
	"slices"
	"sync/atomic"
	"unsafe"

	"github.com/espalier-ml/espalier/kernels"
	"github.com/espalier-ml/espalier/kernels/arena"
)

// executable is a schedule bound to memory.
type executable struct {
	d      *Device
	phases []bound
	tail   []int // marks after the last phase
	bufs   []kernels.Buffer
	bytes  int

	workers []worker
	cur     *bound // phase that the threads work on
	f       func(thread int)
	closed  bool
}

// bound is a phase ready to run: a flat list of tasks, cut in one run of
// tasks for each thread. A thread that has finished its run helps the others.
type bound struct {
	marks []int
	tasks []task
	chunk int // region: images a step
	next  []cursor
}

// task is one part of a private stage, or one part of all stages of a region.
type task struct {
	stages []scheduled
	part   int
	lo, hi int // images; both 0 for a private stage
}

type cursor struct {
	at  atomic.Int32
	end int32
	_   [56]byte
}

// chunkBytes is the memory that a region touches in one step: about half of
// a second-level cache.
const chunkBytes = 256 << 10

// stagger keeps the threads' private memory from starting at equal addresses
// modulo large powers of two: see package arena.
const stagger = 17 * 64

// Compile implements kernels.Device.
func (d *Device) Compile(ops []kernels.Op) (kernels.Executable, error) {
	l, phases, tail, err := d.schedule(ops)
	if err != nil {
		return nil, err
	}
	for i, op := range ops {
		for _, t := range append(op.Inputs(), op.Outputs()...) {
			if buf, off := t.Place(); buf == nil {
				return nil, fmt.Errorf("op %d %T: operand %v has no memory", i, op, t)
			} else if off < 0 || off+t.Bytes() > buf.Bytes() {
				return nil, fmt.Errorf("op %d %T: operand %v lies at %d of %d bytes", i, op, t, off, buf.Bytes())
			}
		}
	}
	x := &executable{d: d, tail: tail}
	if err := x.allocate(l, phases); err != nil {
		return nil, err
	}
	l.bind()
	x.phases = make([]bound, len(phases))
	for i, p := range phases {
		x.phases[i].bind(p, d.pool.size)
	}
	x.f = x.work
	return x, nil
}

// allocate places scratch tensors, which share memory when they are not needed
// in a common phase, and the threads' private memory.
func (x *executable) allocate(l *lowering, phases []phase) error {
	blocks := scratchBlocks(l.temps, phases)
	shared := arena.Plan(blocks)
	step := (l.localSize*4+arena.Align-1)&^(arena.Align-1) + stagger
	buf, err := x.d.Alloc(shared + step*x.d.pool.size)
	if err != nil {
		return err
	}
	x.bufs, x.bytes = append(x.bufs, buf), buf.Bytes()
	for i, t := range l.temps {
		t.Buf, t.Off = buf, blocks[i].Off
	}
	x.workers = make([]worker, x.d.pool.size)
	if l.localSize > 0 {
		for i := range x.workers {
			b := buf.Host()[shared+i*step:]
			x.workers[i].scratch = unsafe.Slice((*float32)(unsafe.Pointer(&b[0])), l.localSize)
		}
	}
	return nil
}

// scratchBlocks tells when each scratch tensor is used: from the first to the
// last phase of its op.
func scratchBlocks(temps []scratch, phases []phase) []*arena.Block {
	blocks := make([]*arena.Block, len(temps))
	ofOp := map[int][]*arena.Block{}
	for i, t := range temps {
		blocks[i] = &arena.Block{Bytes: t.Bytes(), First: len(phases)}
		if t.op == always {
			blocks[i].First, blocks[i].Last = 0, len(phases)
		}
		ofOp[t.op] = append(ofOp[t.op], blocks[i])
	}
	for g, p := range phases {
		for _, s := range slices.Concat(p.region, p.side) {
			for _, b := range ofOp[s.op] {
				b.First, b.Last = min(b.First, g), max(b.Last, g)
			}
		}
	}
	return blocks
}

func (b *bound) bind(p phase, threads int) {
	b.marks = p.marks
	for i := range p.side {
		for k := range p.side[i].parts {
			b.tasks = append(b.tasks, task{stages: p.side[i : i+1], part: k})
		}
	}
	if len(p.region) > 0 {
		n, bytes := p.region[0].images, 1
		for _, s := range p.region {
			bytes += s.bytes
		}
		b.chunk = max(1, chunkBytes/bytes)
		for k := range batchParts(n) {
			lo, hi := partRange(n, k)
			b.tasks = append(b.tasks, task{p.region, k, lo, hi})
		}
	}
	b.next = make([]cursor, threads)
}

// Run implements kernels.Executable.
func (x *executable) Run(env *kernels.Env, onMark func(id int)) error {
	if x.closed {
		return errClosed
	}
	p := x.d.pool
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range x.workers {
		x.workers[i].env = env
	}
	for i := range x.phases {
		b := &x.phases[i]
		report(b.marks, onMark)
		b.reset()
		x.cur = b
		if len(b.tasks) > 1 {
			p.run(x.f)
		} else {
			x.work(0)
		}
	}
	report(x.tail, onMark)
	return nil
}

func report(marks []int, onMark func(id int)) {
	if onMark != nil {
		for _, m := range marks {
			onMark(m)
		}
	}
}

// reset deals the tasks out to the threads in equal runs.
func (b *bound) reset() {
	n, t := len(b.tasks), len(b.next)
	for i := range b.next {
		b.next[i].end = int32((i + 1) * n / t)
		b.next[i].at.Store(int32(i * n / t))
	}
}

// work runs the thread's own tasks, then those that others have not begun.
func (x *executable) work(thread int) {
	b, w := x.cur, &x.workers[thread]
	for i := range b.next {
		c := &b.next[(thread+i)%len(b.next)]
		for {
			k := c.at.Add(1) - 1
			if k >= c.end {
				break
			}
			b.tasks[k].do(w, b.chunk)
		}
	}
}

func (t *task) do(w *worker, chunk int) {
	if t.hi == 0 {
		t.stages[0].run(w, t.part)
		return
	}
	for lo := t.lo; lo < t.hi; lo += chunk {
		hi := min(lo+chunk, t.hi)
		for i := range t.stages {
			t.stages[i].batch(w, t.part, lo, hi)
		}
	}
}

// Scratch implements kernels.Executable.
func (x *executable) Scratch() int { return x.bytes }

// Close frees the scratch memory.
func (x *executable) Close() error {
	x.closed = true
	for _, b := range x.bufs {
		if err := b.Close(); err != nil {
			return err
		}
	}
	x.bufs = nil
	return nil
}
