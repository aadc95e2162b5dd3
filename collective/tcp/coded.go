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
	call := &collective.Call{Kind: collective.KindAllReduce, In: b, Out: b, Op: op, Meta: meta}
	if !v.code.Exact() && v.o.Order == Strict {
		return collective.FailedWork(call.Fail(v.info, fmt.Errorf("%s in strict order, whose bits must not depend on the number of ranks: %w", v.code.Name(), collective.ErrUnsupported)))
	}
	if b.Type() != collective.Float32 || op != collective.Sum {
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
func (o *op) combineCoded(f *folder, s int) error {
	me, width := int(o.c.info.Rank), o.code.Width()
	lo, hi := o.plan.span(me, s)
	own, result := o.out[lo:hi], o.encodedSegment(s)
	room := f.forCodes()
	for at := 0; at < len(own); at += blockBytes {
		block := own[at:min(at+blockBytes, len(own))]
		n := len(block) / 4
		code := result[at/4*width:][:n*width]
		for r, p := range o.c.peers {
			f.views[r] = room[r][:len(block)]
			from := code
			if r == me {
				o.code.Encode(from, vec.Of[float32](block))
			} else {
				from = p.slot(s)[at/4*width:][:n*width]
			}
			if err := o.code.Decode(vec.Of[float32](f.views[r]), from); err != nil {
				return err
			}
		}
		f.into(block, collective.Float32, collective.Sum)
		o.code.Encode(code, vec.Of[float32](block))
		if err := o.code.Decode(vec.Of[float32](block), code); err != nil {
			return err
		}
	}
	return nil
}

// forCodes are blocks to decode to, one for each rank.
func (f *folder) forCodes() [][]byte {
	if f.codes == nil {
		f.codes = make([][]byte, len(f.views))
		for r := range f.codes {
			f.codes[r] = make([]byte, blockBytes)
		}
	}
	return f.codes
}
