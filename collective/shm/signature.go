package shm

import (
	"fmt"

	"github.com/espalier-ml/espalier/collective"
)

// sign is the signature of a call. place is that of the buffer which peers
// read or write: the input of reductions, the output of an AllGather.
func (c *Comm) sign(call *collective.Call) signature {
	s := signature{
		kind: call.Kind, dtype: call.In.Type(), outType: call.Out.Type(), op: call.Op,
		to: int32(call.To), from: int32(call.From), bucket: call.Meta.Bucket,
		in: uint64(call.In.Len()), out: uint64(call.Out.Len()),
		seq: call.Meta.Seq, plan: call.Meta.Sig, shards: uint64(call.Shards()),
	}
	switch {
	case call.Division != nil:
		s.place = c.placeParts(call)
	case call.Kind == collective.KindAllGather:
		s.place = c.placeOf(&call.Out)
	case call.Kind == collective.KindAllReduce, call.Kind == collective.KindReduceScatter, call.Kind == collective.KindBroadcast:
		s.place = c.placeOf(&call.In)
	}
	return s
}

// placeParts notes where each part lies, for the others to read once this
// rank has posted its signature.
func (c *Comm) placeParts(call *collective.Call) uint64 {
	places := &c.ctl.ranks[c.info.Rank].parts[c.posted%2]
	for i := range call.Parts {
		if places[i] = c.placeOf(&call.Parts[i]); places[i] == 0 {
			return 0
		}
	}
	return scattered
}

// slot is that of the operation that was posted last.
func (c *Comm) slot() uint64 { return (c.posted - 1) % 2 }

// meet posts a signature, waits for all ranks, and compares.
func (c *Comm) meet(s *signature) error {
	slot := c.posted % 2
	c.posted++
	ranks := &c.ctl.ranks
	ranks[c.info.Rank].slots[slot] = *s
	if err := c.bar.pass(); err != nil {
		return err
	}
	for r := range c.info.World {
		if other := &ranks[r].slots[slot]; *other != *s && !agree(other, s) {
			return c.desync(slot)
		}
	}
	if s.kind == collective.KindSendRecv {
		return c.checkPairs(slot)
	}
	return nil
}

// agree reports whether two signatures are of the same operation.
func agree(a, b *signature) bool {
	return *a == *b || a.kind == collective.KindSendRecv && b.kind == a.kind &&
		a.bucket == b.bucket && a.seq == b.seq && a.plan == b.plan
}

// desync ends the group with an error that names rank 0 and the first rank
// that differs from it; every rank finds the same pair.
func (c *Comm) desync(slot uint64) error {
	zero := &c.ctl.ranks[0].slots[slot]
	for r := 1; r < c.info.World; r++ {
		if other := &c.ctl.ranks[r].slots[slot]; !agree(zero, other) {
			c.ctl.end(c.info.Rank, codeDesync, fmt.Sprintf("rank 0 issued %v, rank %d issued %v", zero, r, other))
			break
		}
	}
	return c.ctl.ended()
}

// checkPairs finds ranks of a SendRecv that send to one who does not expect
// it, or something else.
func (c *Comm) checkPairs(slot uint64) error {
	ranks := &c.ctl.ranks
	for r := range c.info.World {
		s := &ranks[r].slots[slot]
		bad := -1
		if to := int(s.to); to >= 0 {
			if p := &ranks[to].slots[slot]; int(p.from) != r || p.out != s.in || p.outType != s.dtype {
				bad = to
			}
		}
		if from := int(s.from); from >= 0 && int(ranks[from].slots[slot].to) != r {
			bad = from
		}
		if bad >= 0 {
			c.ctl.end(c.info.Rank, codeDesync, fmt.Sprintf("rank %d issued %v, rank %d issued %v", r, s, bad, &ranks[bad].slots[slot]))
			return c.ctl.ended()
		}
	}
	return nil
}

func (s *signature) String() string {
	meta := fmt.Sprintf("seq %d bucket %d plan %016x", s.seq, s.bucket, s.plan)
	where := "outside regions"
	switch {
	case s.place == scattered:
		where = "in regions"
	case s.place != 0:
		where = fmt.Sprintf("region %d offset %d", s.place>>placeBits, s.place&(1<<placeBits-1))
	}
	switch s.kind {
	case collective.KindAlloc:
		return fmt.Sprintf("alloc of %d bytes", s.in)
	case collective.KindFree:
		return fmt.Sprintf("free of region %d", s.place>>placeBits)
	case collective.KindBarrier:
		return fmt.Sprintf("barrier (%s)", meta)
	case collective.KindBroadcast:
		return fmt.Sprintf("broadcast of %v[%d] from rank %d, %s (%s)", s.dtype, s.in, s.to, where, meta)
	case collective.KindSendRecv:
		return fmt.Sprintf("sendrecv of %v[%d] to rank %d, %v[%d] from rank %d (%s)", s.dtype, s.in, s.to, s.outType, s.out, s.from, meta)
	case collective.KindAllGather:
		return fmt.Sprintf("allgather of %v[%d], %s (%s)", s.dtype, s.in, where, meta)
	}
	if s.shards != 0 {
		where = fmt.Sprintf("of %d shards, %s", s.shards, where)
	}
	return fmt.Sprintf("%v of %v[%d] %v, %s (%s)", s.kind, s.dtype, s.in, s.op, where, meta)
}
