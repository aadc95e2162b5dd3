package hier

import (
	"context"
	"errors"

	"github.com/espalier-ml/espalier/collective"
	"github.com/espalier-ml/espalier/collective/queue"
)

// run carries out one operation together with the other ranks.
func (c *Comm) run(op *queue.Op[*region]) error {
	if err := c.exchange(op); err != nil {
		return err
	}
	call := &op.Call
	switch call.Kind {
	case collective.KindAlloc:
		inner, err := c.local.Alloc(context.Background(), op.With.bytes)
		c.regions++
		op.With.inner, op.With.id = inner, c.regions
		return inGroup(false, err)
	case collective.KindFree:
		return inGroup(false, op.With.inner.Free(context.Background()))
	case collective.KindBarrier:
		return nil // the exchange was one
	case collective.KindSendRecv:
		return c.sendRecv(call)
	}
	if call.In.Size() <= shortBytes {
		c.short(call)
		return nil
	}
	switch call.Kind {
	case collective.KindAllReduce:
		return c.reduce(call)
	case collective.KindReduceScatter:
		return c.reduceScatter(call)
	case collective.KindAllGather:
		return c.gather(call)
	case collective.KindBroadcast:
		return c.broadcast(call)
	}
	return errors.New("no such operation")
}

// short does an operation whose data came with the letters.
func (c *Comm) short(call *collective.Call) {
	in, out := call.In.Size(), raw(&call.Out)
	data := func(rank int) []byte { return c.letter(rank)[headBytes : headBytes+in] }
	switch call.Kind {
	case collective.KindAllReduce:
		c.combine(out, call, data)
	case collective.KindReduceScatter:
		lo := len(out) * int(c.info.Rank)
		c.combine(out, call, func(rank int) []byte { return data(rank)[lo : lo+len(out)] })
	case collective.KindAllGather:
		for r := range c.info.World {
			copy(out[r*in:], data(r))
		}
	case collective.KindBroadcast:
		copy(out, data(int(call.To)))
	}
}

func (c *Comm) combine(dst []byte, call *collective.Call, view func(rank int) []byte) {
	for r := range c.info.World {
		c.fold.Leaf(r, view(r))
	}
	c.fold.Into(dst, call.In.Type(), call.Op)
}

// chunks cuts n bytes of a type in chunks whose slices, one for each rank of
// the host, are equal and in whole cache lines, and a rest, which is short or
// less than a line a rank.
func (c *Comm) chunks(n int) (chunk, rest int) {
	grain := collective.Align * c.perHost
	return max(c.o.Chunk/grain*grain, grain), n % grain
}

// reduce sums a long buffer: scattered within the host, each slice across,
// gathered within the host. While one chunk is across, the next is scattered.
func (c *Comm) reduce(call *collective.Call) error {
	mem, t := raw(&call.In), call.In.Type()
	chunk, rest := c.chunks(len(mem))
	whole := len(mem) - rest
	var before collective.Work // the chunk that is across
	var last span
	for lo := 0; lo < whole; lo += chunk {
		s := c.span(mem[lo:min(lo+chunk, whole)])
		if err := c.within(c.local.ReduceScatter(typed(t, s.all), typed(t, s.mine), call.Op, collective.OpMeta{})); err != nil {
			return err
		}
		across := c.across.AllReduce(typed(t, s.mine), call.Op, collective.OpMeta{})
		if err := c.settle(before, last, t); err != nil {
			return err
		}
		before, last = across, s
	}
	if err := c.settle(before, last, t); err != nil {
		return err
	}
	if rest == 0 {
		return nil
	}
	tail := typed(t, mem[whole:])
	if err := c.within(c.local.AllReduce(tail, call.Op, collective.OpMeta{})); err != nil {
		return err
	}
	return c.beyond(c.across.AllReduce(tail, call.Op, collective.OpMeta{}))
}

// span is a chunk and this rank's slice of it.
type span struct{ all, mine []byte }

func (c *Comm) span(all []byte) span {
	n := len(all) / c.perHost
	return span{all, all[c.l*n : (c.l+1)*n]}
}

// settle waits for the slices of a chunk and gathers them within the host.
func (c *Comm) settle(across collective.Work, s span, t collective.DType) error {
	if s.all == nil {
		return nil
	}
	if err := c.beyond(across); err != nil {
		return err
	}
	return c.within(c.local.AllGather(typed(t, s.mine), typed(t, s.all), collective.OpMeta{}))
}

// reduceScatter brings the parts of the ranks of one index together, so that
// the host's sums of them lie with the rank that has the group across.
func (c *Comm) reduceScatter(call *collective.Call) error {
	in, out, t := raw(&call.In), raw(&call.Out), call.In.Type()
	n := len(out)
	room := c.scratch(len(in) + c.hosts*n)
	sorted, sums := room[:len(in)], room[len(in):]
	for r := range c.info.World {
		copy(sorted[(r%c.perHost*c.hosts+r/c.perHost)*n:][:n], in[r*n:])
	}
	if err := c.within(c.local.ReduceScatter(typed(t, sorted), typed(t, sums), call.Op, collective.OpMeta{})); err != nil {
		return err
	}
	return c.beyond(c.across.ReduceScatter(typed(t, sums), call.Out, call.Op, collective.OpMeta{}))
}

// gather is the same backwards.
func (c *Comm) gather(call *collective.Call) error {
	out, t, n := raw(&call.Out), call.In.Type(), call.In.Size()
	room := c.scratch(len(out) + c.hosts*n)
	sorted, column := room[:len(out)], room[len(out):]
	if err := c.beyond(c.across.AllGather(call.In, typed(t, column), collective.OpMeta{})); err != nil {
		return err
	}
	if err := c.within(c.local.AllGather(typed(t, column), typed(t, sorted), collective.OpMeta{})); err != nil {
		return err
	}
	for r := range c.info.World {
		copy(out[r*n:][:n], sorted[(r%c.perHost*c.hosts+r/c.perHost)*n:])
	}
	return nil
}

// broadcast spreads a buffer on the root's host, then each rank sends a slice
// across, and the other hosts put the slices together.
func (c *Comm) broadcast(call *collective.Call) error {
	mem := raw(&call.In)
	host, index := int(call.To)/c.perHost, collective.Rank(int(call.To)%c.perHost)
	if c.h == host {
		if err := c.within(c.local.Broadcast(call.In, index, collective.OpMeta{})); err != nil {
			return err
		}
	}
	_, rest := c.chunks(len(mem))
	whole := len(mem) - rest
	if s := c.span(mem[:whole]); whole > 0 {
		if err := c.beyond(c.across.Broadcast(collective.Bytes(s.mine), collective.Rank(host), collective.OpMeta{})); err != nil {
			return err
		}
		if c.h != host {
			if err := c.within(c.local.AllGather(collective.Bytes(s.mine), collective.Bytes(s.all), collective.OpMeta{})); err != nil {
				return err
			}
		}
	}
	if rest == 0 {
		return nil
	}
	return c.beyond(c.across.Broadcast(collective.Bytes(mem[whole:]), collective.Rank(host), collective.OpMeta{}))
}
