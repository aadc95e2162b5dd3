package tcp

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/espalier-ml/espalier/collective"
)

// A link begins with the dialer's hello, of helloBytes, answered by a status,
// a text of at most maxReason bytes and, if the status is good, the
// acceptor's hello. Nothing of another size is ever read before both agree.
//
//	  0     magic "espalier"
//	  8 u16 version
//	 10 u16 world
//	 12 u16 from
//	 14 u16 to
//	 16 u16 link     0 for control
//	 18 u16 links    of the pair
//	 20 u32 order    of bytes: 0x01020304 as the machine stores it
//	 24 u32 segment
//	 28 u32 short
//	 32 u64 generation
//	 40     run, 16 bytes
//	 56     chain, 32 bytes
//	 88     config, 32 bytes
//	120 u8  order of sums
//	121     zero
//	124 u32 CRC-32C of the above
type hello struct {
	version        uint16
	world          uint16
	from, to       uint16
	link, links    uint16
	segment, short uint32
	gen            collective.Gen
	config         collective.Digest
	order          Order
}

const (
	helloBytes = 128
	helloMagic = "espalier"
	version    = 3
	maxReason  = 240
)

var (
	// ErrRefused: the other side of a connection does not belong to the group,
	// or says so of this side.
	ErrRefused = errors.New("refused")

	errCorrupt = errors.New("corrupted frame")
	errForeign = errors.New("frame of another group")
	errAhead   = errors.New("a later generation")
	errLater   = errors.New("it is of an earlier generation")
)

func (h *hello) put(dst []byte) {
	_ = dst[helloBytes-1]
	clear(dst[:helloBytes])
	le := binary.LittleEndian
	copy(dst, helloMagic)
	for i, v := range []uint16{h.version, h.world, h.from, h.to, h.link, h.links} {
		le.PutUint16(dst[8+2*i:], v)
	}
	binary.NativeEndian.PutUint32(dst[20:], 0x01020304)
	le.PutUint32(dst[24:], h.segment)
	le.PutUint32(dst[28:], h.short)
	le.PutUint64(dst[32:], h.gen.N)
	copy(dst[40:], h.gen.Run[:])
	copy(dst[56:], h.gen.Chain[:])
	copy(dst[88:], h.config[:])
	dst[120] = uint8(h.order)
	le.PutUint32(dst[124:], checksum(dst[:124]))
}

// readHello parses helloBytes bytes from outside.
func readHello(src []byte) (hello, error) {
	_ = src[helloBytes-1]
	le := binary.LittleEndian
	var h hello
	if !bytes.Equal(src[:8], []byte(helloMagic)) {
		return h, fmt.Errorf("%w: not a rank: greets with %q", ErrRefused, src[:8])
	}
	if v := le.Uint16(src[8:]); v != version {
		return h, fmt.Errorf("%w: protocol version %d, want %d: ranks are different builds", ErrRefused, v, version)
	}
	if le.Uint32(src[124:]) != checksum(src[:124]) {
		return h, fmt.Errorf("%w: greeting with a wrong checksum", ErrRefused)
	}
	if o := binary.NativeEndian.Uint32(src[20:]); o != 0x01020304 {
		return h, fmt.Errorf("%w: machine with another order of bytes", ErrRefused)
	}
	u := func(i int) uint16 { return le.Uint16(src[i:]) }
	h = hello{
		version: u(8), world: u(10), from: u(12), to: u(14), link: u(16), links: u(18),
		segment: le.Uint32(src[24:]), short: le.Uint32(src[28:]), order: Order(src[120]),
	}
	h.gen.N = le.Uint64(src[32:])
	copy(h.gen.Run[:], src[40:])
	copy(h.gen.Chain[:], src[56:])
	copy(h.config[:], src[88:])
	return h, nil
}

// check compares what the other side says with what it should say.
func (h *hello) check(want *hello) error {
	refuse := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", ErrRefused, fmt.Sprintf(format, args...))
	}
	switch {
	case h.gen.Run != want.gen.Run:
		return refuse("run %v, want %v", h.gen.Run, want.gen.Run)
	case h.gen.N > want.gen.N:
		return fmt.Errorf("%w: %w: %d, want %d", ErrRefused, errAhead, h.gen.N, want.gen.N)
	case h.gen.N < want.gen.N:
		return refuse("generation %d, want %d", h.gen.N, want.gen.N)
	case h.gen.Chain != want.gen.Chain:
		return refuse("generation %d of another history: chain %v, want %v", h.gen.N, h.gen.Chain, want.gen.Chain)
	case h.world != want.world:
		return refuse("world of %d ranks, want %d", h.world, want.world)
	case h.to != want.to:
		return refuse("looks for rank %d at the address of rank %d", h.to, want.to)
	case h.from != want.from:
		return refuse("is rank %d, want rank %d", h.from, want.from)
	case h.config != want.config:
		return refuse("configuration %v, want %v", h.config, want.config)
	case h.links != want.links:
		return refuse("%d links a pair of ranks, want %d", h.links, want.links)
	case h.link != want.link:
		return refuse("link %d, want %d", h.link, want.link)
	case h.segment != want.segment || h.short != want.short || h.order != want.order:
		return refuse("segments of %d bytes, short operations of %d, %v order; want %d, %d, %v", h.segment, h.short, h.order, want.segment, want.short, want.order)
	}
	return nil
}

// The answers to a hello.
const (
	statusGood    = iota + 1
	statusRefused // for good
	statusLater   // the acceptor is of an older generation, which will end
)

// writeAnswer tells the dialer what became of its hello.
func writeAnswer(w io.Writer, own *hello, refusal error) error {
	b := make([]byte, 2, 2+maxReason+helloBytes)
	if refusal == nil {
		b[0] = statusGood
		b = b[:2+helloBytes]
		own.put(b[2:])
	} else {
		b[0] = statusRefused
		if errors.Is(refusal, errAhead) {
			b[0] = statusLater
		}
		text := refusal.Error()
		text = text[:min(len(text), maxReason)]
		b[1] = uint8(len(text))
		b = append(b, text...)
	}
	_, err := w.Write(b)
	return err
}

// readAnswer reads what the acceptor made of the hello.
func readAnswer(r io.Reader) (hello, error) {
	var b [helloBytes]byte
	if _, err := io.ReadFull(r, b[:2]); err != nil {
		return hello{}, err
	}
	switch status, n := b[0], int(b[1]); {
	case status == statusGood && n == 0:
		if _, err := io.ReadFull(r, b[:]); err != nil {
			return hello{}, err
		}
		return readHello(b[:])
	case (status == statusRefused || status == statusLater) && n <= maxReason:
		text := make([]byte, n)
		if _, err := io.ReadFull(r, text); err != nil {
			return hello{}, err
		}
		if status == statusLater {
			return hello{}, fmt.Errorf("%w by the other side: %q: %w", ErrRefused, text, errLater)
		}
		return hello{}, fmt.Errorf("%w by the other side: %q", ErrRefused, text)
	}
	return hello{}, fmt.Errorf("%w: not a rank: answers with %x", ErrRefused, b[:2])
}

// groupHash stands for run and history in every frame.
func groupHash(g collective.Gen) uint32 {
	h := sha256.New()
	h.Write(g.Run[:])
	h.Write(g.Chain[:])
	return binary.LittleEndian.Uint32(h.Sum(nil))
}
