package shm

import (
	"github.com/espalier-ml/espalier/collective"
)

// stageBytes is the size of one staging area: small enough for the second
// level cache, large enough that barriers do not matter.
const stageBytes = 128 << 10

// stages are two staging areas a rank, used in turn: a rank that fills one
// area again has passed the barrier of the other, and so knows that everyone
// has finished with what it held before.
type stages struct {
	mem   []byte
	world int
	turn  int
}

const stageStride = 2*stageBytes + stagger

// headBytes is the size of the control page and all staging areas.
func headBytes(world int) int64 {
	return (controlBytes + int64(world)*stageStride + pageSize - 1) &^ (pageSize - 1)
}

// of is a rank's area of this turn.
func (s *stages) of(rank int) []byte {
	at := controlBytes + rank*stageStride + s.turn*stageBytes
	return s.mem[at : at+stageBytes : at+stageBytes]
}

// runStaged is for buffers anywhere: chunk by chunk, each rank copies its
// input to its staging area, all meet, and each takes what it needs from all.
func (c *Comm) runStaged(call *collective.Call, s *signature) error {
	t := transfer{call: call, rank: int(c.info.Rank), world: c.info.World, in: raw(&call.In), out: raw(&call.Out)}
	t.plan()
	c.stages.turn ^= 1
	t.fill(c.stages.of(t.rank), 0)
	if err := c.meet(s); err != nil {
		return err
	}
	if call.Kind == collective.KindSendRecv {
		t.total = c.longest() // all ranks pass as many barriers as the longest transfer needs
	}
	t.drain(c, 0)
	for lo := t.chunk; lo < t.total; lo += t.chunk {
		c.stages.turn ^= 1
		t.fill(c.stages.of(t.rank), lo)
		if err := c.bar.pass(); err != nil {
			return err
		}
		t.drain(c, lo)
	}
	return nil
}

// longest is the size in bytes of the longest transfer of a SendRecv that all
// ranks have just posted.
func (c *Comm) longest() int {
	n := 0
	for r := range c.info.World {
		s := &c.ctl.ranks[r].slots[c.slot()]
		n = max(n, int(s.in)*s.dtype.Size())
	}
	return n
}

// transfer is a staged operation: total bytes a rank, chunk by chunk.
type transfer struct {
	call        *collective.Call
	rank, world int
	in, out     []byte
	total       int
	chunk       int
}

func (t *transfer) plan() {
	t.chunk, t.total = stageBytes, len(t.in)
	pieces := 1 // that share an area
	switch {
	case t.call.Kind == collective.KindReduceScatter:
		pieces, t.total = t.world, len(t.out)
	case t.call.Division != nil:
		pieces = t.call.Division.Most
	}
	if pieces > 1 {
		t.chunk = stageBytes / pieces &^ (collective.Align - 1)
	}
}

// cut is the part of b in the chunk that begins at lo.
func (t *transfer) cut(b []byte, lo int) []byte {
	return b[min(lo, len(b)):min(lo+t.chunk, len(b))]
}

// fill copies what others need of this rank's chunk to its staging area.
func (t *transfer) fill(stage []byte, lo int) {
	switch t.call.Kind {
	case collective.KindReduceScatter:
		n := len(t.out)
		for r := range t.world {
			copy(stage[r*t.chunk:], t.cut(t.in[r*n:(r+1)*n], lo))
		}
	case collective.KindBroadcast:
		if t.rank == int(t.call.To) {
			copy(stage, t.cut(t.in, lo))
		}
	default:
		for i := range t.call.Leaves() {
			b := t.call.Leaf(i)
			copy(stage[i*t.chunk:], t.cut(raw(&b), lo))
		}
	}
}

// drain takes this rank's result of a chunk from the staging areas.
func (t *transfer) drain(c *Comm, lo int) {
	switch t.call.Kind {
	case collective.KindAllReduce:
		if t.call.Division != nil {
			t.sumParts(c, t.cut(t.out, lo))
		} else {
			t.reduce(c, t.cut(t.out, lo), 0)
		}
	case collective.KindReduceScatter:
		t.reduce(c, t.cut(t.out, lo), t.rank*t.chunk)
	case collective.KindAllGather:
		for r := range t.world {
			n := len(t.in)
			dst := t.cut(t.out[r*n:(r+1)*n], lo)
			copy(dst, c.stages.of(r))
		}
	case collective.KindBroadcast:
		if t.rank != int(t.call.To) {
			copy(t.cut(t.out, lo), c.stages.of(int(t.call.To)))
		}
	case collective.KindSendRecv:
		if t.call.From >= 0 {
			copy(t.cut(t.out, lo), c.stages.of(int(t.call.From)))
		}
	}
}

// reduce combines the bytes at an offset of all staging areas into dst.
func (t *transfer) reduce(c *Comm, dst []byte, at int) {
	c.fold.Follow(nil)
	for r := range t.world {
		c.fold.Leaf(r, c.stages.of(r)[at:at+len(dst)])
	}
	c.fold.Into(dst, t.call.In.Type(), t.call.Op)
}

// sumParts adds the parts in all staging areas.
func (t *transfer) sumParts(c *Comm, dst []byte) {
	c.fold.Follow(t.call.Division)
	leaf := 0
	for r, parts := range t.call.Division.Of {
		for i := range parts {
			c.fold.Leaf(leaf, c.stages.of(r)[i*t.chunk:][:len(dst)])
			leaf++
		}
	}
	c.fold.Into(dst, t.call.In.Type(), t.call.Op)
}
