package shm

import (
	"github.com/espalier-ml/espalier/collective"
	"github.com/espalier-ml/espalier/collective/queue"
)

// run carries out one operation together with the other ranks.
func (c *Comm) run(op *queue.Op[*region]) error {
	call := &op.Call
	switch call.Kind {
	case collective.KindAlloc:
		return c.alloc(op.With)
	case collective.KindFree:
		return c.free(op.With)
	}
	s := c.sign(call)
	if s.place == 0 {
		return c.runStaged(call, &s)
	}
	return c.runInPlace(call, &s)
}

// runInPlace is for buffers in a region: all ranks have posted where theirs
// are, each does its share of the work in all of them, and nobody goes on
// before all have done so.
func (c *Comm) runInPlace(call *collective.Call, s *signature) error {
	if call.Kind == collective.KindAllGather { // the others will look for it there
		copy(raw(&call.Out)[int(c.info.Rank)*call.In.Size():], raw(&call.In))
	}
	if err := c.meet(s); err != nil {
		return err
	}
	switch call.Kind {
	case collective.KindAllReduce:
		if call.Division != nil {
			c.sumParts(call)
		} else {
			c.reduceInPlace(call, s.place)
		}
	case collective.KindReduceScatter:
		c.scatterInPlace(call, s.place)
	case collective.KindAllGather:
		c.gatherInPlace(call, s.place)
	case collective.KindBroadcast:
		if call.To != c.info.Rank {
			copy(raw(&call.Out), c.at(s.place, int(call.To), call.In.Size()))
		}
	}
	return c.bar.pass()
}

// reduceInPlace combines this rank's slice of the buffer for everyone.
func (c *Comm) reduceInPlace(call *collective.Call, place uint64) {
	lo, hi := share(call.In.Size(), c.info.World, int(c.info.Rank))
	if lo == hi {
		return
	}
	c.fold.Follow(nil)
	for r := range c.info.World {
		c.fold.Leaf(r, c.at(place+uint64(lo), r, hi-lo))
	}
	c.fold.Share(call.In.Type(), call.Op)
}

// sumParts is reduceInPlace for the parts that all ranks have posted.
func (c *Comm) sumParts(call *collective.Call) {
	lo, hi := share(call.In.Size(), c.info.World, int(c.info.Rank))
	if lo == hi {
		return
	}
	c.fold.Follow(call.Division)
	leaf := 0
	for r, parts := range call.Division.Of {
		places := &c.ctl.ranks[r].parts[c.slot()]
		for i := range parts {
			c.fold.Leaf(leaf, c.at(places[i]+uint64(lo), r, hi-lo))
			leaf++
		}
		c.results[r] = c.at(places[0]+uint64(lo), r, hi-lo)
	}
	c.fold.ShareTo(c.results, call.In.Type(), call.Op)
}

// share is the part [lo, hi) of n bytes that a rank works on: equal parts in
// whole pairs of cache lines, the last ones shorter or empty.
func share(n, world, rank int) (lo, hi int) {
	const grain = 128
	part := ((n+world-1)/world + grain - 1) &^ (grain - 1)
	return min(rank*part, n), min((rank+1)*part, n)
}

func (c *Comm) scatterInPlace(call *collective.Call, place uint64) {
	n := call.Out.Size()
	mine := uint64(n * int(c.info.Rank))
	c.fold.Follow(nil)
	for r := range c.info.World {
		c.fold.Leaf(r, c.at(place+mine, r, n))
	}
	c.fold.Into(raw(&call.Out), call.In.Type(), call.Op)
}

// gatherInPlace copies the others' parts, each from its rank's own out.
func (c *Comm) gatherInPlace(call *collective.Call, place uint64) {
	n := call.In.Size()
	out := raw(&call.Out)
	for r := range c.info.World {
		if r != int(c.info.Rank) {
			copy(out[r*n:(r+1)*n], c.at(place+uint64(r*n), r, n))
		}
	}
}
