package tcp

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/espalier-ml/espalier/collective"
	"github.com/espalier-ml/espalier/collective/codec"
)

// signature is what an operation must have in common on all ranks. It is the
// body of a begin frame, before the data.
type signature struct {
	kind     collective.Kind
	dtype    collective.DType // of the input
	outType  collective.DType
	op       collective.Op
	to, from int32
	bucket   int32
	in, out  uint64 // elements; bytes for alloc, the region's number for free
	seq      uint64
	plan     uint64
	code     [8]byte // name of the codec, 0 for none
	shards   uint64  // of a SumShards, else 0
}

const signatureBytes = 64

func sign(call *collective.Call, code codec.Codec) signature {
	s := signature{
		kind: call.Kind, dtype: call.In.Type(), outType: call.Out.Type(), op: call.Op,
		to: int32(call.To), from: int32(call.From), bucket: call.Meta.Bucket,
		in: uint64(call.In.Len()), out: uint64(call.Out.Len()),
		seq: call.Meta.Seq, plan: call.Meta.Sig, shards: uint64(call.Shards()),
	}
	if code != nil {
		copy(s.code[:], code.Name())
	}
	return s
}

func (s *signature) put(dst []byte) {
	_ = dst[signatureBytes-1]
	le := binary.LittleEndian
	dst[0], dst[1], dst[2], dst[3] = uint8(s.kind), uint8(s.dtype), uint8(s.outType), uint8(s.op)
	le.PutUint32(dst[4:], uint32(s.to))
	le.PutUint32(dst[8:], uint32(s.from))
	le.PutUint32(dst[12:], uint32(s.bucket))
	le.PutUint64(dst[16:], s.in)
	le.PutUint64(dst[24:], s.out)
	le.PutUint64(dst[32:], s.seq)
	le.PutUint64(dst[40:], s.plan)
	copy(dst[48:], s.code[:])
	le.PutUint64(dst[56:], s.shards)
}

func readSignature(src []byte) signature {
	_ = src[signatureBytes-1]
	le := binary.LittleEndian
	s := signature{
		kind: collective.Kind(src[0]), dtype: collective.DType(src[1]), outType: collective.DType(src[2]), op: collective.Op(src[3]),
		to: int32(le.Uint32(src[4:])), from: int32(le.Uint32(src[8:])), bucket: int32(le.Uint32(src[12:])),
		in: le.Uint64(src[16:]), out: le.Uint64(src[24:]), seq: le.Uint64(src[32:]), plan: le.Uint64(src[40:]), shards: le.Uint64(src[56:]),
	}
	copy(s.code[:], src[48:])
	return s
}

// shared is the part of a signature that is the same on all ranks.
func (s signature) shared() signature {
	if s.kind == collective.KindSendRecv {
		return signature{kind: s.kind, bucket: s.bucket, seq: s.seq, plan: s.plan}
	}
	return s
}

// hash goes into every frame of the operation.
func (s *signature) hash(scratch []byte) uint32 {
	c := s.shared()
	c.put(scratch)
	return checksum(scratch[:signatureBytes])
}

// agree reports whether two signatures are of the same operation.
func agree(a, b *signature) bool { return *a == *b || a.shared() == b.shared() }

// disagreement compares the signatures of those ranks that have sent theirs,
// and returns what is wrong, empty if nothing is. Rank 0 and the first rank
// that differs from it are named, so that every rank that has all signatures
// finds the same pair.
func disagreement(from []letter) string {
	first := -1
	for r := range from {
		switch {
		case !from[r].here:
		case first < 0:
			first = r
		case !agree(&from[first].sig, &from[r].sig):
			return fmt.Sprintf("rank %d issued %v, rank %d issued %v", first, &from[first].sig, r, &from[r].sig)
		}
	}
	if first >= 0 && from[first].sig.kind == collective.KindSendRecv {
		return unpaired(from)
	}
	return ""
}

// unpaired finds ranks of a SendRecv that send to one who does not expect it,
// or something else.
func unpaired(from []letter) string {
	for r := range from {
		s := &from[r].sig
		if !from[r].here {
			continue
		}
		bad := -1
		if to := int(s.to); to >= 0 && to < len(from) && from[to].here {
			if p := &from[to].sig; int(p.from) != r || p.out != s.in || p.outType != s.dtype {
				bad = to
			}
		}
		if src := int(s.from); src >= 0 && src < len(from) && from[src].here && int(from[src].sig.to) != r {
			bad = src
		}
		if bad >= 0 {
			return fmt.Sprintf("rank %d issued %v, rank %d issued %v", r, s, bad, &from[bad].sig)
		}
	}
	return ""
}

func (s *signature) String() string {
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
	form := ""
	if s.shards != 0 {
		form = fmt.Sprintf(" of %d shards", s.shards)
	}
	if s.code != [8]byte{} {
		form += fmt.Sprintf(" as %q", string(bytes.TrimRight(s.code[:], "\x00")))
	}
	return fmt.Sprintf("%v of %v[%d] %v%s (%s)", s.kind, s.dtype, s.in, s.op, form, meta)
}
