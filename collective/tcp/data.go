package tcp

import (
	"fmt"
	"io"

	"github.com/espalier-ml/espalier/collective/fold"
)

// receiveData reads the frames of a data link, straight to where they belong.
func (l *link) receiveData() error {
	for {
		h, sum, err := l.readHeader(l.comm.o.Segment)
		if err != nil {
			return err
		}
		switch h.kind {
		case frameBeat:
			if h.length != 0 || sum != 0 {
				return fmt.Errorf("%w: heartbeat with a body", errCorrupt)
			}
		case frameScatter, frameGather, frameRingSum, frameRing:
			if err := l.land(&h, sum); err != nil {
				return err
			}
		default:
			return fmt.Errorf("%w: %v frame on a data link", errCorrupt, h.kind)
		}
	}
}

// land receives a segment. If this rank has not yet begun the operation, it
// waits, and so does the sender, as TCP has it.
func (l *link) land(h *header, sum uint32) error {
	c := l.comm
	if err := c.awaitOp(h.op); err != nil {
		return err
	}
	o := &c.cur
	if h.sig != o.hash {
		return c.mistrust(l, h)
	}
	dst, err := o.place(l, h)
	if err != nil {
		return err
	}
	got, err := readSummed(l.conn, dst)
	if err != nil {
		return err
	}
	if got != sum {
		return fmt.Errorf("%w: %v segment %d of operation %d has a wrong checksum", errCorrupt, h.kind, h.seg, h.op)
	}
	o.alive.Store(c.clock.Load())
	if err := o.landed(l, h); err != nil {
		return err
	}
	c.done(1)
	return nil
}

// readSummed fills dst and returns its checksum, taken while each piece is
// still in the cache.
func readSummed(r io.Reader, dst []byte) (sum uint32, err error) {
	for len(dst) > 0 {
		n, err := r.Read(dst)
		sum = extend(sum, dst[:n])
		if dst = dst[n:]; err != nil && len(dst) > 0 {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return 0, err
		}
	}
	return sum, nil
}

// mistrust stops reading a link that carries another operation than the
// current one. The begin frames tell who is out of step; the watchman waits
// for them.
func (c *Comm) mistrust(l *link, h *header) error {
	c.mu.Lock()
	if c.doubted == 0 {
		c.doubted = c.clock.Load() + 1
	}
	c.odd = fmt.Sprintf("%v: %v frame of signature %08x in operation %d of signature %08x", l, h.kind, h.sig, h.op, c.cur.hash)
	c.mu.Unlock()
	c.gate.enter()
	defer c.gate.leave()
	for !c.dead.Load() {
		c.gate.cond.Wait()
	}
	return errDead
}

// place is where a segment goes. A frame that is not expected is an error.
func (o *op) place(l *link, h *header) ([]byte, error) {
	from, me, world := int(l.peer.rank), int(o.c.info.Rank), o.c.info.World
	stray := func(why string) ([]byte, error) {
		return nil, fmt.Errorf("%w: %v segment %d of %d bytes of operation %d: %s", errCorrupt, h.kind, h.seg, h.length, h.op, why)
	}
	p := &o.plan
	if h.kind == frameGather {
		p = &o.back
	}
	part, s, ok := p.locate(int(h.seg), world)
	if !ok || o.short {
		return stray("there is no such segment")
	}
	lo, hi := p.span(part, s)
	wire := o.wire(hi - lo)
	if h.kind == frameScatter {
		wire *= o.leaves(from)
	}
	if int(h.length) != wire || l != l.peer.in[s%len(l.peer.in)] {
		return stray("not as it was cut")
	}
	switch {
	case o.circles:
		return o.placeInRing(l, h, part, lo, hi)
	case h.kind == frameScatter && part == me && o.scatterFrom.has(from):
		if o.parts[s].Load()>>from&1 != 0 {
			return stray("came before")
		}
		if !o.reduces {
			return o.out[lo:hi], nil
		}
		if slots := len(l.peer.slots); s >= slots && !o.c.await(&o.folded[s-slots]) {
			return nil, errDead
		}
		return l.peer.slot(s)[:wire], nil
	case h.kind == frameGather && part == o.part(from) && o.gatherFrom.has(from):
		if o.got[h.seg].Or(gotResult)&gotResult != 0 {
			return stray("came before")
		}
		// The sender has this rank's contribution; it must have left for good.
		if o.reduces && !o.c.await(&o.gone[h.seg]) {
			return nil, errDead
		}
		if o.code != nil {
			return l.coded[:wire], nil
		}
		return o.out[lo:hi], nil
	}
	return stray("not expected from this rank")
}

// landed does what a segment that has come makes possible.
func (o *op) landed(l *link, h *header) error {
	if o.circles {
		o.landedInRing(l, h)
		return nil
	}
	_, s, _ := o.plan.locate(int(h.seg), o.c.info.World)
	if h.kind != frameScatter {
		if o.code != nil {
			return o.decode(l, s)
		}
		return nil
	}
	bit := uint64(1) << l.peer.rank
	if old := o.parts[s].Or(bit); old|bit != uint64(o.scatterFrom) {
		return nil
	}
	switch {
	case o.code != nil:
		if err := o.combineCoded(l, s); err != nil {
			return err
		}
	case o.reduces:
		o.combine(l.fold, s)
	}
	if o.reduces {
		o.folded[s].Store(true)
		o.c.gate.knock()
	}
	o.gather(s)
	return nil
}

// combine adds up segment s of this rank's part from all ranks.
func (o *op) combine(f *fold.Folder, s int) {
	me := int(o.c.info.Rank)
	lo, hi := o.plan.span(me, s)
	f.Follow(o.call.Division)
	leaf := 0
	for r, p := range o.c.peers {
		for i := range o.leaves(r) {
			if r == me {
				f.Leaf(leaf, o.own[i][lo:hi])
			} else {
				f.Leaf(leaf, p.slot(s)[i*(hi-lo):][:hi-lo])
			}
			leaf++
		}
	}
	first := 0 // of the part within out
	if len(o.out) < len(o.in) {
		first, _ = o.plan.bounds(me)
	}
	f.Into(o.out[lo-first:hi-first], o.call.In.Type(), o.call.Op)
}

// Slots are where segments wait to be combined: two at least for each link,
// so that one can be received while another waits for the other ranks.
const minSlots = 4

// slot is that of segment s.
func (p *peer) slot(s int) []byte { return p.slots[s%len(p.slots)] }

// reserveSlots provides for segments of a size. c.mu is held and no
// operation is under way.
func (c *Comm) reserveSlots(size int) {
	for _, p := range c.peers {
		if p == nil {
			continue
		}
		links := len(p.in)
		n := links * max(2, (minSlots+links-1)/links)
		if len(p.slots) < n {
			p.slots = make([][]byte, n)
		}
		for i := range p.slots {
			if len(p.slots[i]) < size {
				p.slots[i] = make([]byte, size)
			}
		}
	}
}
