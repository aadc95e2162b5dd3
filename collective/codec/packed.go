package codec

import (
	"context"
	"fmt"
	"sync"

	"github.com/espalier-ml/espalier/collective"
)

// Packed is a Comm whose AllReduce of float32 moves the kept elements of a
// mask only. The others are 0 afterwards, as they would be if they were 0 on
// all ranks. All else passes through.
//
// The mask must be equal on all ranks, which is checked with the operation:
// its digest goes into OpMeta.Sig. One AllReduce may be in flight at a time;
// it is unpacked by the first Wait that finds it complete.
type Packed struct {
	collective.Comm
	mask *Mask
	room []float32 // the kept elements

	mu     sync.Mutex
	token  uint64 // of the last operation
	work   collective.Work
	dst    []float32 // where it is to be unpacked, nil if it is
	failed error
}

// NewPacked makes one for buffers of mask.Len elements. room is where they
// are packed, mask.Kept elements, best in a region of the transport; nil
// allocates it.
func NewPacked(comm collective.Comm, mask *Mask, room []float32) (*Packed, error) {
	if room == nil {
		room = make([]float32, mask.kept)
	}
	if len(room) < mask.kept {
		return nil, fmt.Errorf("packed reduction: room for %d elements, want %d", len(room), mask.kept)
	}
	return &Packed{Comm: comm, mask: mask, room: room[:mask.kept]}, nil
}

// AllReduce implements collective.Comm. b must be float32 of the mask's
// length.
func (p *Packed) AllReduce(b collective.Buf, op collective.Op, meta collective.OpMeta) collective.Work {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.refuse(b); err != nil {
		call := collective.Call{Kind: collective.KindAllReduce, In: b, Out: b, Op: op, Meta: meta}
		return collective.FailedWork(call.Fail(p.Info(), err))
	}
	p.mask.Pack(p.room, b.Float32s())
	meta.Sig ^= p.mask.digest.Sig()
	p.work, p.dst = p.Comm.AllReduce(collective.Float32s(p.room), op, meta), b.Float32s()
	p.token++
	return collective.NewWork(p, p.token)
}

func (p *Packed) refuse(b collective.Buf) error {
	switch {
	case b.Type() != collective.Float32 || b.Device() != 0:
		return fmt.Errorf("packed reduction of %v: %w", b.Type(), collective.ErrUnsupported)
	case b.Len() != p.mask.n:
		return fmt.Errorf("packed reduction of %d elements by a mask of %d", b.Len(), p.mask.n)
	case p.dst != nil && p.failed == nil:
		return fmt.Errorf("packed reduction while another of the same mask is in flight: wait for it first")
	}
	return nil
}

// Wait implements collective.Pending.
func (p *Packed) Wait(ctx context.Context, token uint64) error {
	p.mu.Lock()
	work, current, failed := p.work, token == p.token, p.failed
	p.mu.Unlock()
	if !current { // a later one could begin, so this one has ended
		return failed
	}
	err := work.Wait(ctx)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		if work.Done() {
			p.failed = err
		}
		return err
	}
	if p.token == token && p.dst != nil {
		p.mask.Unpack(p.dst, p.room)
		p.dst = nil
	}
	return nil
}

// Done implements collective.Pending.
func (p *Packed) Done(token uint64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return token != p.token || p.work.Done()
}
