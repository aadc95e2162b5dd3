package tcp

import (
	"fmt"

	"github.com/espalier-ml/espalier/collective/fold"
)

// The ring: the sum of part j begins at rank j and travels upwards; each rank
// adds its own contribution; rank j-1 is the last and holds the result, which
// travels once more around, to rank j-2. Every link carries as much as in the
// direct exchange, but each rank talks to two others only.

func (o *op) prev() int { return (int(o.c.info.Rank) + o.c.info.World - 1) % o.c.info.World }
func (o *op) next() int { return (int(o.c.info.Rank) + 1) % o.c.info.World }

// last is the rank that completes the sum of a part.
func (o *op) last(part int) int { return (part + o.c.info.World - 1) % o.c.info.World }

func (o *op) launchRing() {
	me := int(o.c.info.Rank)
	for s := range o.plan.segments(me) {
		o.send(frameRingSum, o.next(), me, s, o.in)
	}
}

// expectedInRing counts frames that come and go.
func (o *op) expectedInRing() int {
	me, n := int(o.c.info.Rank), 0
	for part := range o.c.info.World {
		segments := o.plan.segments(part)
		if part != me {
			n += segments // its sum comes
		}
		if o.last(part) != me {
			n += 2 * segments // its sum goes, its result comes
		}
		if o.last(part) != o.next() {
			n += segments // its result goes
		}
	}
	return n
}

func (o *op) placeInRing(l *link, h *header, part, lo, hi int) ([]byte, error) {
	me := int(o.c.info.Rank)
	if int(l.peer.rank) == o.prev() {
		switch {
		case h.kind == frameRingSum && part != me && o.got[h.seg].Or(gotSum)&gotSum == 0:
			return l.peer.slot(l.turn)[:hi-lo], nil
		case h.kind == frameRing && o.last(part) != me && o.got[h.seg].Or(gotResult)&gotResult == 0:
			// The sum has been past this rank; it must have left for good.
			if !o.c.await(&o.gone[h.seg]) {
				return nil, errDead
			}
			return o.out[lo:hi], nil
		}
	}
	return nil, fmt.Errorf("%w: %v segment %d of operation %d: not expected from this rank, or came before", errCorrupt, h.kind, h.seg, h.op)
}

func (o *op) landedInRing(l *link, h *header) {
	me := int(o.c.info.Rank)
	part, s, _ := o.plan.locate(int(h.seg), o.c.info.World)
	lo, hi := o.plan.span(part, s)
	kind := h.kind
	if kind == frameRingSum {
		own := o.out[lo:hi]
		fold.Pair(own, l.peer.slot(l.turn)[:hi-lo], own, o.call.In.Type(), o.call.Op)
		if o.last(part) == me {
			kind = frameRing
		}
	} else if o.last(part) == o.next() {
		return
	}
	o.send(kind, o.next(), part, s, o.out)
}
