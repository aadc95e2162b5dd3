package tcp

import (
	"errors"
	"fmt"
	"math/bits"
	"sync/atomic"
	"time"

	"github.com/espalier-ml/espalier/collective"
	"github.com/espalier-ml/espalier/collective/codec"
	"github.com/espalier-ml/espalier/collective/queue"
	"github.com/espalier-ml/espalier/kernels/vec"
)

var errDead = errors.New("the group has ended")

// ranks is a set of ranks.
type ranks uint64

func (s ranks) has(r int) bool { return s>>r&1 != 0 }
func (s ranks) count() int     { return bits.OnesCount64(uint64(s)) }

func setOf(list []collective.Rank) (s ranks) {
	for _, r := range list {
		s |= 1 << r
	}
	return s
}

func (s ranks) list() (all []collective.Rank) {
	for ; s != 0; s &= s - 1 {
		all = append(all, collective.Rank(bits.TrailingZeros64(uint64(s))))
	}
	return all
}

// op is the operation that has begun and is not complete. There is one at a
// time; its memory is used again.
//
// Bulk data flows in two ways. In strict order each rank gets its part of
// the input from all others (scatter), combines it along the tree, segment by
// segment, and sends the result to all (gather). In fast order segments go
// around a ring twice, first collecting sums, then spreading them. Broadcast
// scatters from the root only; ReduceScatter and AllGather are halves.
type op struct {
	c      *Comm
	token  uint64
	call   collective.Call
	region *region
	code   codec.Codec // nil for none
	sig    signature
	hash   uint32
	in     []byte
	out    []byte
	own    [][]byte // what this rank adds: in, and further parts of a SumShards
	start  time.Time

	short   bool // all data is in the begin frames
	reduces bool // scattered segments are combined
	circles bool // around the ring
	plan    plan
	back    plan // of what a SendRecv receives, else plan

	scatterTo, scatterFrom ranks
	gatherTo, gatherFrom   ranks

	pending atomic.Int32 // frames to send and to land, and the meeting
	alive   atomic.Uint32
	parts   []atomic.Uint64 // by segment of this rank's part: ranks it has come from
	folded  []atomic.Bool   // by segment of this rank's part: it is combined
	got     []atomic.Uint32 // by number: what has come, gotResult or gotSum
	gone    []atomic.Bool   // by number: this rank's contribution is sent
	scratch [signatureBytes]byte
	encoded []byte // the finished segments of this rank's part, by segment
}

const (
	gotResult = 1 << iota
	gotSum
)

func (o *op) init(c *Comm) { o.c = c }

// prepare sets the operation up. c.mu is held.
func (o *op) prepare(token uint64, q *queue.Op[extra]) {
	c := o.c
	o.token, o.call, o.region = token, q.Call, q.With.region
	o.in, o.out = raw(&o.call.In), raw(&o.call.Out)
	o.own = append(o.own[:0], o.in)
	for i := 1; i < o.call.Leaves(); i++ {
		o.own = append(o.own, raw(&o.call.Parts[i]))
	}
	o.code = q.With.code
	o.sig = sign(&o.call, o.code)
	if o.region != nil {
		o.sig.in = o.region.tell(o.call.Kind)
	}
	o.hash = o.sig.hash(o.scratch[:])
	o.alive.Store(c.clock.Load())
	if c.o.Observe != nil {
		o.start = time.Now()
	}
	o.scatterTo, o.scatterFrom, o.gatherTo, o.gatherFrom = 0, 0, 0, 0
	o.reduces, o.circles = false, false
	o.route()
	o.pending.Store(int32(2 + o.expected()))
}

// route decides where data goes.
func (o *op) route() {
	c, world := o.c, o.c.info.World
	o.plan = plan{}
	o.back = plan{}
	switch o.call.Kind {
	case collective.KindAllReduce, collective.KindBroadcast:
		o.plan = share(len(o.in), world, c.o.Segment/o.most()&^(grain-1))
	case collective.KindReduceScatter:
		o.plan = cut(len(o.out), len(o.in), c.o.Segment)
	case collective.KindAllGather:
		o.plan = cut(len(o.in), len(o.out), c.o.Segment)
	case collective.KindSendRecv:
		o.routePair()
		return
	}
	o.back = o.plan
	o.short = len(o.in)*o.most() <= c.short || world == 1
	if o.short {
		return
	}
	others := c.others()
	switch o.call.Kind {
	case collective.KindAllReduce:
		o.reduces = true
		if o.circles = c.o.Order == Fast && o.code == nil && o.call.Division == nil; !o.circles {
			o.scatterTo, o.scatterFrom, o.gatherTo, o.gatherFrom = others, others, others, others
		}
	case collective.KindReduceScatter:
		o.reduces = true
		o.scatterTo, o.scatterFrom = others, others
	case collective.KindAllGather:
		o.gatherTo, o.gatherFrom = others, others
	case collective.KindBroadcast:
		root := c.only(o.call.To)
		if o.call.To == c.info.Rank {
			o.scatterTo, o.gatherTo = others, others
		} else {
			o.scatterFrom, o.gatherTo, o.gatherFrom = root, others&^root, others
		}
	}
	o.reset()
}

// most is how many parts a frame may carry.
func (o *op) most() int {
	if d := o.call.Division; d != nil {
		return d.Most
	}
	return 1
}

// leaves is how many parts a rank adds.
func (o *op) leaves(rank int) int {
	if d := o.call.Division; d != nil {
		return len(d.Of[rank])
	}
	return 1
}

// routePair is route for SendRecv. What is sent and what is received are
// separate, each cut as a single part.
func (o *op) routePair() {
	c := o.c
	o.plan = cut(len(o.in), len(o.in), c.o.Segment)
	o.back = cut(len(o.out), len(o.out), c.o.Segment)
	o.short = true
	self := c.info.Rank
	if o.call.To >= 0 && o.call.To != self && len(o.in) > c.short {
		o.gatherTo, o.short = c.only(o.call.To), false
	}
	if o.call.From >= 0 && o.call.From != self && len(o.out) > c.short {
		o.gatherFrom, o.short = c.only(o.call.From), false
	}
	o.reset()
}

// reset clears the marks of segments.
func (o *op) reset() {
	mine, all := o.plan.each, o.back.each*o.c.info.World
	if len(o.parts) < mine {
		o.parts, o.folded = make([]atomic.Uint64, mine), make([]atomic.Bool, mine)
	}
	if len(o.got) < all {
		o.got, o.gone = make([]atomic.Uint32, all), make([]atomic.Bool, all)
	}
	for s := range mine {
		o.parts[s].Store(0)
		o.folded[s].Store(false)
	}
	for n := range all {
		o.got[n].Store(0)
		o.gone[n].Store(false)
	}
	if o.scatterFrom != 0 || o.circles {
		o.c.reserveSlots(o.plan.segment * o.most())
	}
	if o.code != nil {
		o.reserveCoded()
	}
}

// part is the number of the part that a rank's finished segments belong to.
func (o *op) part(rank int) int {
	if o.call.Kind == collective.KindSendRecv {
		return 0
	}
	return rank
}

// expected counts the frames to send and to land.
func (o *op) expected() int {
	if o.short {
		return 0
	}
	if o.circles {
		return o.expectedInRing()
	}
	me := int(o.c.info.Rank)
	own := o.plan.segments(o.part(me))
	n := (o.scatterFrom.count() + o.gatherTo.count()) * own
	for r := range o.c.info.World {
		if o.scatterTo.has(r) {
			n += o.plan.segments(r)
		}
		if o.gatherFrom.has(r) {
			n += o.back.segments(o.part(r))
		}
	}
	return n
}

// sent notes that a frame has left.
func (o *op) sent(h *header) {
	if h.kind == frameScatter || h.kind == frameRingSum {
		o.gone[h.seg].Store(true)
		o.c.gate.knock()
	}
}

// begin makes the operation at the head of the queue the current one, if
// that is possible now, and reports whether it did. c.mu is held.
func (c *Comm) begin() bool {
	token, oldest := c.queue.Oldest()
	if c.running || oldest == nil || c.verdict != nil {
		return false
	}
	c.running = true
	c.cur.prepare(token, oldest)
	c.begun.Store(token)
	c.gate.knock()
	c.doubted, c.odd = 0, ""
	for _, p := range c.peers {
		if p == nil {
			continue
		}
		if l := &c.box(token).from[p.rank]; l.here {
			c.compare(&l.sig)
		} else if p.left {
			c.condemn(closedBy(p.rank), 0)
			return false
		}
	}
	return true
}

// run launches the current operation, and those after it as long as they
// complete at once.
func (c *Comm) run() {
	for c.launch() && c.finish() {
	}
}

// done notes that n of the things an operation waits for have happened.
func (c *Comm) done(n int32) {
	if c.cur.pending.Add(-n) == 0 && c.finish() {
		c.run()
	}
}

// launch does this rank's part of beginning an operation. It reports true if
// that completed it.
func (c *Comm) launch() bool {
	c.exec.Lock()
	defer c.exec.Unlock()
	if c.dead.Load() {
		return false
	}
	o := &c.cur
	c.announce(o)
	o.local()
	if o.circles {
		o.launchRing()
	} else {
		o.launchDirect()
	}
	c.mu.Lock()
	all := c.box(o.token).put(int(c.info.Rank), &o.sig)
	c.mu.Unlock()
	met := int32(0)
	if all && c.meet(o) {
		met = 1
	}
	return o.pending.Add(-1-met) == 0
}

// local copies what stays on this rank.
func (o *op) local() {
	self := o.c.info.Rank
	switch {
	case o.call.Kind == collective.KindAllGather:
		lo, hi := o.plan.bounds(int(self))
		copy(o.out[lo:hi], o.in)
	case o.call.Kind == collective.KindReduceScatter && o.c.info.World == 1:
		copy(o.out, o.in)
	case o.call.Kind == collective.KindSendRecv && o.call.To == self && len(o.in) == len(o.out):
		copy(o.out, o.in)
	}
}

// launchDirect hands the first frames to the senders.
func (o *op) launchDirect() {
	for r := range o.c.info.World {
		if o.scatterTo.has(r) {
			for s := range o.plan.segments(r) {
				o.send(frameScatter, r, r, s, o.in)
			}
		}
	}
	if o.gatherTo != 0 && o.scatterFrom == 0 {
		me := o.part(int(o.c.info.Rank))
		for s := range o.plan.segments(me) {
			o.gather(s)
		}
	}
}

// gather sends a finished segment of this rank's part to all that need it.
func (o *op) gather(s int) {
	if o.gatherTo == 0 {
		return
	}
	me := o.part(int(o.c.info.Rank))
	src := o.out
	if o.call.Kind == collective.KindSendRecv {
		src = o.in
	}
	lo, hi := o.plan.span(me, s)
	f := o.frame(frameGather, me, s, src[lo:hi])
	if o.code != nil {
		f.data = o.encodedSegment(s)
	}
	if o.gatherTo.count() > 1 {
		f.sum, f.known = checksum(f.data), true
	}
	for r, p := range o.c.peers {
		if o.gatherTo.has(r) {
			p.out[s%len(p.out)].enqueue(f)
		}
	}
}

// send sends segment s of a part, found in src, to a rank.
func (o *op) send(kind frameKind, to, part, s int, src []byte) {
	lo, hi := o.plan.span(part, s)
	links := o.c.peers[to].out
	f := o.frame(kind, part, s, src[lo:hi])
	f.code = o.code
	if kind == frameScatter {
		f.rest, f.lo = o.own[1:], lo
	}
	links[s%len(links)].enqueue(f)
}

func (o *op) frame(kind frameKind, part, s int, data []byte) frame {
	h := header{kind: kind, op: uint32(o.token), sig: o.hash, seg: uint32(o.plan.number(part, s))}
	return frame{header: h, data: data, track: true}
}

// finish takes a complete operation off the queue and begins the next, if
// there is one.
func (c *Comm) finish() bool {
	o := &c.cur
	c.mu.Lock()
	if c.dead.Load() { // too late; it has failed
		c.mu.Unlock()
		return false
	}
	c.finishing = true
	c.mu.Unlock()
	c.observe(o, nil)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.box(o.token).clear()
	c.running, c.finishing = false, false
	o.call, o.in, o.out, o.region, o.code = collective.Call{}, nil, nil, nil, nil
	clear(o.own)
	c.queue.Complete()
	if c.verdict != nil && o.token >= c.upTo {
		c.bury()
	}
	return c.begin()
}

// observe tells the observer how the operation went.
func (c *Comm) observe(o *op, err error) {
	if c.o.Observe != nil {
		c.o.Observe(collective.Event{Kind: o.call.Kind, Meta: o.call.Meta, Bytes: o.call.In.Size(), Start: o.start, End: time.Now(), Err: err})
	}
}

// raw is a buffer's memory.
func raw(b *collective.Buf) []byte {
	switch b.Type() {
	case collective.Float32:
		return vec.Bytes(b.Float32s())
	case collective.Float64:
		return vec.Bytes(b.Float64s())
	case collective.Int64:
		return vec.Bytes(b.Int64s())
	}
	return b.Bytes()
}

// String names the operation in logs.
func (o *op) String() string { return fmt.Sprint(&o.sig) }
