package tcp

import (
	"fmt"
	"math"

	"github.com/espalier-ml/espalier/collective"
)

// letter is what one rank said when it began an operation.
type letter struct {
	here bool
	sig  signature
	data []byte // of a short operation
}

// box collects the letters of one operation. Comm.mu guards it, but data is
// written before the letter is here and read after all are.
type box struct {
	from  []letter // by rank
	count int
}

// box is that of an operation. Two suffice: nobody begins the next but one
// before everybody has begun this one.
func (c *Comm) box(token uint64) *box { return &c.boxes[token%2] }

// put adds a letter and reports whether it was the last one.
func (b *box) put(rank int, sig *signature) bool {
	b.from[rank].sig, b.from[rank].here = *sig, true
	b.count++
	return b.count == len(b.from)
}

func (b *box) clear() {
	b.count = 0
	for r := range b.from {
		b.from[r].here = false
	}
}

// announce posts the begin frames of an operation.
func (c *Comm) announce(o *op) {
	h := header{kind: frameBegin, op: uint32(o.token), sig: o.hash}
	var sums [2]uint32 // of the body without and with data
	var known [2]bool
	for _, p := range c.peers {
		if p == nil {
			continue
		}
		l := p.links[0]
		b := l.begins[o.token%uint64(len(l.begins))][:headerBytes+signatureBytes]
		o.sig.put(b[headerBytes:])
		with := 0
		if c.carries(&o.sig, int(c.info.Rank), int(p.rank)) > 0 {
			with = 1
			for _, part := range o.own {
				b = append(b, part...)
			}
		}
		if !known[with] {
			sums[with], known[with] = checksum(b[headerBytes:]), true
		}
		l.post(h, b, sums[with])
	}
}

// carries is how many bytes of data a begin frame has with it, given its
// signature, sender and receiver.
func (c *Comm) carries(s *signature, from, to int) int {
	size := uint64(s.dtype.Size())
	most, own := 1, 1
	if s.shards != 0 {
		d, err := c.divisions.Of(int(min(s.shards, math.MaxInt32)), c.info.World)
		if err != nil {
			return 0
		}
		most, own = d.Most, len(d.Of[from])
	}
	if size == 0 || s.in > uint64(c.short)/size/uint64(most) {
		return 0
	}
	switch s.kind {
	case collective.KindAllReduce, collective.KindReduceScatter, collective.KindAllGather:
	case collective.KindBroadcast:
		if from != int(s.to) {
			return 0
		}
	case collective.KindSendRecv:
		if to != int(s.to) {
			return 0
		}
	default:
		return 0
	}
	return int(s.in*size) * own
}

// receiveBegin takes the begin frame of a peer.
func (c *Comm) receiveBegin(p *peer, h *header, body []byte) error {
	if len(body) < signatureBytes {
		return fmt.Errorf("%w: begin frame of %d bytes", errCorrupt, len(body))
	}
	sig := readSignature(body)
	data := body[signatureBytes:]
	if want := c.carries(&sig, int(p.rank), int(c.info.Rank)); len(data) != want {
		return fmt.Errorf("%w: %v with %d bytes of data, want %d", errCorrupt, sig.String(), len(data), want)
	}
	c.mu.Lock()
	begun, running := c.begun.Load(), c.running
	early := h.op == uint32(begun+1)
	token := begun
	if early {
		token++
	}
	l := &c.box(token).from[p.rank]
	ok := (early || running && h.op == uint32(begun)) && !l.here
	c.mu.Unlock()
	if !ok {
		return fmt.Errorf("%w: begins operation %d, while %d is under way", errCorrupt, h.op, uint32(begun))
	}
	l.data = append(l.data[:0], data...)

	c.mu.Lock()
	all := c.box(token).put(int(p.rank), &sig)
	current := c.running && c.begun.Load() == token
	if current {
		c.cur.alive.Store(c.clock.Load())
		c.compare(&sig)
	}
	c.mu.Unlock()
	if all && current {
		c.exec.Lock()
		met := !c.dead.Load() && c.meet(&c.cur)
		c.exec.Unlock()
		if met {
			c.done(1)
		}
	}
	return nil
}

// compare begins to doubt if a letter is of another operation than the
// current one. If not all letters come soon, the watchman does not wait for
// them. c.mu is held.
func (c *Comm) compare(sig *signature) {
	if c.doubted == 0 && !agree(sig, &c.cur.sig) {
		c.doubted = c.clock.Load() + 1
	}
}

// meet is called when all ranks have begun an operation: it compares what
// they have begun, and does all of a short one. It reports false if the
// group ends. c.exec is held.
func (c *Comm) meet(o *op) bool {
	from := c.box(o.token).from
	if text := disagreement(from); text != "" {
		c.end(&collective.AbortError{By: c.info.Rank, Kind: collective.ErrDesync, Reason: text}, 0)
		return false
	}
	switch o.call.Kind {
	case collective.KindAlloc:
		if err := o.region.attach(); err != nil {
			c.end(&collective.AbortError{By: c.info.Rank, Reason: err.Error()}, 0)
			return false
		}
	case collective.KindFree:
		o.region.detach()
	case collective.KindSendRecv:
		if src := o.call.From; src >= 0 && src != c.info.Rank && !o.gatherFrom.has(int(src)) {
			copy(o.out, from[src].data)
		}
	default:
		if o.short && c.info.World > 1 {
			c.takeShort(o, from)
		}
	}
	return true
}

// takeShort does a short operation with the data of all letters.
func (c *Comm) takeShort(o *op, from []letter) {
	me := int(c.info.Rank)
	switch o.call.Kind {
	case collective.KindAllReduce, collective.KindReduceScatter:
		lo, hi := 0, len(o.in)
		if o.call.Kind == collective.KindReduceScatter {
			lo, hi = o.plan.bounds(me)
		}
		c.fold.Follow(o.call.Division)
		leaf := 0
		for r := range from {
			for i := range o.leaves(r) {
				if r == me {
					c.fold.Leaf(leaf, o.own[i][lo:hi])
				} else {
					c.fold.Leaf(leaf, from[r].data[i*len(o.in):][lo:hi])
				}
				leaf++
			}
		}
		c.fold.Into(o.out[:hi-lo], o.call.In.Type(), o.call.Op)
	case collective.KindAllGather:
		for r := range from {
			if r != me {
				lo, hi := o.plan.bounds(r)
				copy(o.out[lo:hi], from[r].data)
			}
		}
	case collective.KindBroadcast:
		if root := int(o.call.To); root != me {
			copy(o.out, from[root].data)
		}
	}
}
