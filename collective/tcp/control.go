package tcp

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/espalier-ml/espalier/collective"
)

// receiveControl reads the frames of a control link. It never waits for
// anything else, so that the end of the group or of a peer is seen at once.
func (l *link) receiveControl() error {
	limit := signatureBytes + max(l.comm.short, 1024) // an abort at least
	buf := make([]byte, 2*(headerBytes+limit))
	lo, hi := 0, 0
	for {
		var err error
		if lo, hi, err = fill(l.conn, buf, lo, hi, headerBytes); err != nil {
			return err
		}
		h, sum, err := l.accept(buf[lo:hi], limit)
		if err != nil {
			return err
		}
		n := headerBytes + int(h.length)
		if lo, hi, err = fill(l.conn, buf, lo, hi, n); err != nil {
			return err
		}
		body := buf[lo+headerBytes : lo+n]
		if checksum(body) != sum {
			return fmt.Errorf("%w: %v frame of operation %d has a wrong checksum", errCorrupt, h.kind, h.op)
		}
		if err := l.comm.receive(l, &h, body); err != nil {
			return err
		}
		lo += n
	}
}

// fill reads until buf[lo:hi] holds n bytes, at the front if need be.
func fill(r io.Reader, buf []byte, lo, hi, n int) (int, int, error) {
	if lo == hi {
		lo, hi = 0, 0
	}
	if lo+n > len(buf) {
		hi = copy(buf, buf[lo:hi])
		lo = 0
	}
	for hi-lo < n {
		k, err := r.Read(buf[hi:])
		hi += k
		if err != nil && hi-lo < n {
			if err == io.EOF && hi > lo {
				err = io.ErrUnexpectedEOF
			}
			return lo, hi, err
		}
	}
	return lo, hi, nil
}

// receive acts on a frame of a control link.
func (c *Comm) receive(l *link, h *header, body []byte) error {
	p := l.peer
	switch h.kind {
	case frameBegin:
		return c.receiveBegin(p, h, body)
	case frameBeat:
		return nil
	case frameAbort:
		e, upTo, err := readAbort(body, c.info.World)
		if err != nil {
			return err
		}
		c.mu.Lock()
		e.Missing = c.confirm(e)
		c.condemn(e, upTo)
		p.left = true
		c.notice()
		c.mu.Unlock()
		return nil
	case frameBye:
		if len(body) != 8 {
			return fmt.Errorf("%w: bye of %d bytes", errCorrupt, len(body))
		}
		c.depart(p, binary.LittleEndian.Uint64(body))
		l.post(header{kind: frameHeard}, make([]byte, headerBytes), 0)
		return nil
	case frameHeard:
		c.mu.Lock()
		p.heardBye = true
		c.mu.Unlock()
		c.notice()
		return nil
	}
	return fmt.Errorf("%w: %v frame on a control link", errCorrupt, h.kind)
}

// depart notes that a peer begins nothing any more. Operations that need it
// and that it has not begun end the group.
func (c *Comm) depart(p *peer, completed uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p.left, p.completed = true, completed
	if c.running && !c.box(c.begun.Load()).from[p.rank].here {
		c.condemn(closedBy(p.rank), 0)
	}
	c.notice()
}

// An abort frame says who ended the group, how and why, and how many
// operations the sender had completed: those all ranks have begun, and so
// can complete.
//
//	 0 u64 completed
//	 8 i32 by
//	12 u32 code, see abortKinds
//	16 u64 missing, a bit a rank
//	24     reason, at most maxAbortReason bytes
const (
	abortHead      = 24
	maxAbortReason = 1000
)

var abortKinds = [...]error{nil, collective.ErrDesync, collective.ErrDeadline, collective.ErrClosed}

func putAbort(b []byte, e *collective.AbortError, completed uint64) []byte {
	le := binary.LittleEndian
	b = le.AppendUint64(b, completed)
	b = le.AppendUint32(b, uint32(int32(e.By)))
	code := uint32(0)
	for i, k := range abortKinds {
		if e.Kind == k {
			code = uint32(i)
		}
	}
	b = le.AppendUint32(b, code)
	b = le.AppendUint64(b, uint64(setOf(e.Missing)))
	return append(b, e.Reason[:min(len(e.Reason), maxAbortReason)]...)
}

func readAbort(b []byte, world int) (*collective.AbortError, uint64, error) {
	if len(b) < abortHead || len(b) > abortHead+maxAbortReason {
		return nil, 0, fmt.Errorf("%w: abort of %d bytes", errCorrupt, len(b))
	}
	le := binary.LittleEndian
	by, code := int32(le.Uint32(b[8:])), le.Uint32(b[12:])
	missing := ranks(le.Uint64(b[16:]))
	if by < -1 || int(by) >= world || code >= uint32(len(abortKinds)) || missing>>world != 0 {
		return nil, 0, fmt.Errorf("%w: abort by rank %d with code %d", errCorrupt, by, code)
	}
	return &collective.AbortError{By: collective.Rank(by), Kind: abortKinds[code], Missing: missing.list(), Reason: string(b[abortHead:])}, le.Uint64(b), nil
}
