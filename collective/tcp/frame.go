package tcp

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// A frame is a header of headerBytes and a body. All numbers are little
// endian:
//
//	 0 u16 magic xor the low half of the CRC-32C of bytes 2 to 28
//	 2 u8  kind
//	 3 u8  count   frames sent before on this link, modulo 256
//	 4 u32 group   hash of run and chain, see groupHash
//	 8 u32 gen     generation, low half
//	12 u32 op      token of the operation, low half
//	16 u32 sig     hash of the operation's signature, plan included
//	20 u32 seg     segment
//	24 u32 length  of the body
//	28 u32 check   CRC-32C of bytes 2 to 28, xor that of the body
type header struct {
	kind   frameKind
	count  uint8
	op     uint32
	sig    uint32
	seg    uint32
	length uint32
}

const (
	headerBytes = 32
	frameMagic  = 0x9e5a
)

type frameKind uint8

const (
	frameBegin   frameKind = iota + 1 // control: a rank begins an operation; signature, maybe its data
	frameScatter                      // data: a segment of the receiver's part
	frameGather                       // data: a finished segment of the sender's part
	frameRingSum                      // data: a segment that lacks the sums of ranks to come
	frameRing                         // data: a finished segment, to be passed on
	frameBeat                         // any link: the rank lives
	frameAbort                        // control: the group has ended
	frameBye                          // control: the rank leaves in good order
	frameHeard                        // control: the bye was received
	frameKinds
)

func (k frameKind) String() string {
	names := [...]string{"none", "begin", "scatter", "gather", "ring sum", "ring", "heartbeat", "abort", "bye", "heard"}
	if int(k) < len(names) {
		return names[k]
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// checksum is the CRC-32C of a body.
func checksum(body []byte) uint32 { return extend(0, body) }

// identity is what all frames of a group have in common.
type identity struct {
	group, gen uint32
}

// put writes a header. sum is the checksum of the body.
func (id identity) put(dst []byte, h *header, sum uint32) {
	_ = dst[headerBytes-1]
	le := binary.LittleEndian
	dst[2], dst[3] = uint8(h.kind), h.count
	le.PutUint32(dst[4:], id.group)
	le.PutUint32(dst[8:], id.gen)
	le.PutUint32(dst[12:], h.op)
	le.PutUint32(dst[16:], h.sig)
	le.PutUint32(dst[20:], h.seg)
	le.PutUint32(dst[24:], h.length)
	own := checksum(dst[2:28])
	le.PutUint16(dst, frameMagic^uint16(own))
	le.PutUint32(dst[28:], own^sum)
}

// parse reads a header and returns the checksum that its body must have. It
// refuses what is not a frame of this group, and bodies longer than limit.
func (id identity) parse(src []byte, limit int) (h header, sum uint32, err error) {
	le := binary.LittleEndian
	own := checksum(src[2:28])
	if m, want := le.Uint16(src), frameMagic^uint16(own); m != want {
		return h, 0, fmt.Errorf("%w: header begins with %04x, want %04x", errCorrupt, m, want)
	}
	h = header{
		kind: frameKind(src[2]), count: src[3],
		op: le.Uint32(src[12:]), sig: le.Uint32(src[16:]), seg: le.Uint32(src[20:]), length: le.Uint32(src[24:]),
	}
	switch group, gen := le.Uint32(src[4:]), le.Uint32(src[8:]); {
	case h.kind == 0 || h.kind >= frameKinds:
		return h, 0, fmt.Errorf("%w: frame of %v", errCorrupt, h.kind)
	case gen != id.gen:
		return h, 0, fmt.Errorf("%w: generation %d, want %d", errForeign, gen, id.gen)
	case group != id.group:
		return h, 0, fmt.Errorf("%w: another run or history: %08x, want %08x", errForeign, group, id.group)
	case uint64(h.length) > uint64(limit):
		return h, 0, fmt.Errorf("%w: %v frame of %d bytes, want at most %d", errCorrupt, h.kind, h.length, limit)
	}
	return h, le.Uint32(src[28:]) ^ own, nil
}
