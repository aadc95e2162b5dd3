package tcp

import (
	"fmt"

	"github.com/espalier-ml/espalier/collective"
	"github.com/espalier-ml/espalier/collective/codec"
	"github.com/espalier-ml/espalier/kernels/vec"
)

// Coded is a view of the same communicator, with the same queue, in which
// sums of more than Options.Short bytes of float32 travel encoded: AllReduce
// rounds each contribution once and the result once, and adds in float32 in
// between, along the tree. All other operations are as ever. A codec that is
// not exact is refused in strict order.
func (c *Comm) Coded(code codec.Codec) collective.Comm { return &coded{c, code} }

type coded struct {
	*Comm
	code codec.Codec
}

// AllReduce implements collective.Comm.
func (v *coded) AllReduce(b collective.Buf, op collective.Op, meta collective.OpMeta) collective.Work {
	return v.sum(&collective.Call{Kind: collective.KindAllReduce, In: b, Out: b, Op: op, Meta: meta})
}

// SumShards implements collective.Comm. Parts travel encoded where the sum is
// an AllReduce.
func (v *coded) SumShards(parts []collective.Buf, shards int, meta collective.OpMeta) collective.Work {
	call, err := v.divisions.Call(v.info, parts, shards, meta)
	if err != nil {
		return collective.FailedWork(call.Fail(v.info, err))
	}
	return v.sum(&call)
}

func (v *coded) sum(call *collective.Call) collective.Work {
	if !v.code.Exact() && v.o.Order == Strict {
		return collective.FailedWork(call.Fail(v.info, fmt.Errorf("%s in strict order, whose bits must not depend on the number of ranks: %w", v.code.Name(), collective.ErrUnsupported)))
	}
	if call.In.Type() != collective.Float32 || call.Op != collective.Sum || call.Division != nil {
		return v.enqueue(call, nil, nil)
	}
	return v.enqueue(call, nil, v.code)
}

// wire is the length on the wire of a number of bytes of the operation.
func (o *op) wire(n int) int {
	if o.code == nil {
		return n
	}
	return n / 4 * o.code.Width()
}

func encode(room []byte, code codec.Codec, data []byte) []byte {
	room = room[:len(data)/4*code.Width()]
	code.Encode(room, vec.Of[float32](data))
	return room
}

// reserveCoded provides for encoded segments. Comm.mu is held and no
// operation is under way.
func (o *op) reserveCoded() {
	if n := o.wire(o.plan.segment) * o.plan.each; len(o.encoded) < n {
		o.encoded = make([]byte, n)
	}
	for _, p := range o.c.peers {
		if p == nil {
			continue
		}
		for _, l := range p.links[1:] {
			if len(l.coded) < o.plan.segment {
				l.coded = make([]byte, o.plan.segment)
			}
		}
	}
}

// encodedSegment is where finished segment s of this rank's part is encoded.
func (o *op) encodedSegment(s int) []byte {
	lo, hi := o.plan.span(int(o.c.info.Rank), s)
	at := s * o.wire(o.plan.segment)
	return o.encoded[at : at+o.wire(hi-lo)]
}

// decode puts a finished segment of another rank's part where it belongs.
func (o *op) decode(l *link, s int) error {
	lo, hi := o.plan.span(int(l.peer.rank), s)
	return o.code.Decode(vec.Of[float32](o.out[lo:hi]), l.coded[:o.wire(hi-lo)])
}

// combineCoded is combine for encoded contributions. This rank's own is
// rounded like the others', and so is its copy of the result.
func (o *op) combineCoded(l *link, s int) error {
	me, width := int(o.c.info.Rank), o.code.Width()
	lo, hi := o.plan.span(me, s)
	own, result := o.out[lo:hi], o.encodedSegment(s)
	room := l.forCodes()
	l.fold.Follow(nil)
	for at := 0; at < len(own); at += codeBytes {
		block := own[at:min(at+codeBytes, len(own))]
		n := len(block) / 4
		code := result[at/4*width:][:n*width]
		for r, p := range o.c.peers {
			view := room[r][:len(block)]
			l.fold.Leaf(r, view)
			from := code
			if r == me {
				o.code.Encode(from, vec.Of[float32](block))
			} else {
				from = p.slot(s)[at/4*width:][:n*width]
			}
			if err := o.code.Decode(vec.Of[float32](view), from); err != nil {
				return err
			}
		}
		l.fold.Into(block, collective.Float32, collective.Sum)
		o.code.Encode(code, vec.Of[float32](block))
		if err := o.code.Decode(vec.Of[float32](block), code); err != nil {
			return err
		}
	}
	return nil
}

// codeBytes is how much is decoded at a time.
const codeBytes = 4096

// forCodes are blocks to decode to, one for each rank.
func (l *link) forCodes() [][]byte {
	if l.codes == nil {
		l.codes = make([][]byte, l.comm.info.World)
		for r := range l.codes {
			l.codes[r] = make([]byte, codeBytes)
		}
	}
	return l.codes
}
