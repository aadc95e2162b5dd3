package hier

import (
	"encoding/binary"
	"fmt"

	"github.com/espalier-ml/espalier/collective"
	"github.com/espalier-ml/espalier/collective/queue"
)

// A letter is what a rank says when it begins an operation: its signature,
// and the data if that is short.
const (
	letterBytes = 256
	headBytes   = 64
	shortBytes  = letterBytes - headBytes
)

// write puts the letter of an operation into b.
func write(b []byte, op *queue.Op[*region]) {
	call, le := &op.Call, binary.LittleEndian
	in := uint64(call.In.Len())
	if op.With != nil {
		in = op.With.tell(call.Kind)
	}
	clear(b)
	b[0], b[1], b[2], b[3] = uint8(call.Kind), uint8(call.In.Type()), uint8(call.Out.Type()), uint8(call.Op)
	le.PutUint32(b[4:], uint32(int32(call.To)))
	le.PutUint32(b[8:], uint32(int32(call.From)))
	le.PutUint32(b[12:], uint32(call.Meta.Bucket))
	le.PutUint64(b[16:], in)
	le.PutUint64(b[24:], uint64(call.Out.Len()))
	le.PutUint64(b[32:], call.Meta.Seq)
	le.PutUint64(b[40:], call.Meta.Sig)
	if call.In.Size() <= shortBytes {
		copy(b[headBytes:], raw(&call.In))
	}
}

// said is the signature in a letter.
type said struct {
	kind     collective.Kind
	dtype    collective.DType
	outType  collective.DType
	op       collective.Op
	to, from int32
	bucket   int32
	in, out  uint64
	seq      uint64
	plan     uint64
}

func read(b []byte) said {
	le := binary.LittleEndian
	return said{
		kind: collective.Kind(b[0]), dtype: collective.DType(b[1]), outType: collective.DType(b[2]), op: collective.Op(b[3]),
		to: int32(le.Uint32(b[4:])), from: int32(le.Uint32(b[8:])), bucket: int32(le.Uint32(b[12:])),
		in: le.Uint64(b[16:]), out: le.Uint64(b[24:]), seq: le.Uint64(b[32:]), plan: le.Uint64(b[40:]),
	}
}

// letter is that of a rank of the whole group.
func (c *Comm) letter(rank int) []byte {
	return c.letters[rank*letterBytes : (rank+1)*letterBytes]
}

func (c *Comm) said(rank int) said { return read(c.letter(rank)) }

// exchange gives every rank the letters of all.
func (c *Comm) exchange(op *queue.Op[*region]) error {
	write(c.mine, op)
	// Within the host first: who is missing is found by those nearest to it.
	err := c.within(c.local.AllGather(collective.Bytes(c.mine), collective.Bytes(c.hostful), collective.OpMeta{}))
	if err == nil {
		err = c.beyond(c.across.AllGather(collective.Bytes(c.hostful), collective.Bytes(c.letters), collective.OpMeta{}))
	}
	if err != nil {
		return err
	}
	if text := c.disagreement(); text != "" {
		return &collective.AbortError{By: c.info.Rank, Kind: collective.ErrDesync, Reason: text}
	}
	return nil
}

// disagreement is what is wrong with the letters, empty if nothing is: rank 0
// and the first that differs from it, the same pair on every rank.
func (c *Comm) disagreement() string {
	zero := c.said(0)
	for r := 1; r < c.info.World; r++ {
		if other := c.said(r); other.shared() != zero.shared() {
			return fmt.Sprintf("rank 0 issued %v, rank %d issued %v", zero, r, other)
		}
	}
	if zero.kind != collective.KindSendRecv {
		return ""
	}
	for r := range c.info.World {
		s, bad := c.said(r), -1
		if s.to >= 0 {
			if p := c.said(int(s.to)); int(p.from) != r || p.out != s.in || p.outType != s.dtype {
				bad = int(s.to)
			}
		}
		if s.from >= 0 && int(c.said(int(s.from)).to) != r {
			bad = int(s.from)
		}
		if bad >= 0 {
			return fmt.Sprintf("rank %d issued %v, rank %d issued %v", r, s, bad, c.said(bad))
		}
	}
	return ""
}

// shared is the part of a signature that is the same on all ranks.
func (s said) shared() said {
	if s.kind == collective.KindSendRecv {
		return said{kind: s.kind, bucket: s.bucket, seq: s.seq, plan: s.plan}
	}
	return s
}

func (s said) String() string {
	meta := fmt.Sprintf("seq %d bucket %d plan %016x", s.seq, s.bucket, s.plan)
	switch s.kind {
	case collective.KindAlloc:
		return fmt.Sprintf("alloc of %d bytes", s.in)
	case collective.KindFree:
		return fmt.Sprintf("free of region %d", s.in)
	case collective.KindBarrier:
		return fmt.Sprintf("barrier (%s)", meta)
	case collective.KindBroadcast:
		return fmt.Sprintf("broadcast of %v[%d] from rank %d (%s)", s.dtype, s.in, s.to, meta)
	case collective.KindSendRecv:
		return fmt.Sprintf("sendrecv of %v[%d] to rank %d, %v[%d] from rank %d (%s)", s.dtype, s.in, s.to, s.outType, s.out, s.from, meta)
	case collective.KindAllGather:
		return fmt.Sprintf("allgather of %v[%d] (%s)", s.dtype, s.in, meta)
	}
	return fmt.Sprintf("%v of %v[%d] %v (%s)", s.kind, s.dtype, s.in, s.op, meta)
}
