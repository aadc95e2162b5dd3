// Package solo is the collective of a world of one rank: every operation is
// complete when it is issued. It keeps the contract's checks, so that a
// program that runs alone also runs on many.
//
//	comm := solo.New(collective.Gen{})
//	defer comm.Close(ctx)
package solo

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/espalier-ml/espalier/collective"
)

// New returns the communicator of the only rank.
func New(gen collective.Gen) collective.Comm {
	return &comm{info: collective.Info{Gen: gen, World: 1, Transport: "solo"}}
}

type comm struct {
	info      collective.Info
	divisions collective.Divisions

	mu  sync.Mutex
	err error // why the group ended
}

func (c *comm) Info() collective.Info { return c.info }

func (c *comm) AllReduce(b collective.Buf, op collective.Op, meta collective.OpMeta) collective.Work {
	return c.issue(&collective.Call{Kind: collective.KindAllReduce, In: b, Out: b, Op: op, Meta: meta})
}

func (c *comm) SumShards(parts []collective.Buf, shards int, meta collective.OpMeta) collective.Work {
	call, err := c.divisions.Call(c.info, parts, shards, meta)
	if err != nil {
		return collective.FailedWork(call.Fail(c.info, err))
	}
	return c.issue(&call)
}

func (c *comm) ReduceScatter(in, out collective.Buf, op collective.Op, meta collective.OpMeta) collective.Work {
	return c.issue(&collective.Call{Kind: collective.KindReduceScatter, In: in, Out: out, Op: op, Meta: meta})
}

func (c *comm) AllGather(in, out collective.Buf, meta collective.OpMeta) collective.Work {
	return c.issue(&collective.Call{Kind: collective.KindAllGather, In: in, Out: out, Meta: meta})
}

func (c *comm) Broadcast(b collective.Buf, root collective.Rank, meta collective.OpMeta) collective.Work {
	return c.issue(&collective.Call{Kind: collective.KindBroadcast, In: b, Out: b, To: root, Meta: meta})
}

func (c *comm) Barrier(meta collective.OpMeta) collective.Work {
	return c.issue(&collective.Call{Kind: collective.KindBarrier, Meta: meta})
}

func (c *comm) SendRecv(send collective.Buf, to collective.Rank, recv collective.Buf, from collective.Rank, meta collective.OpMeta) collective.Work {
	return c.issue(&collective.Call{Kind: collective.KindSendRecv, In: send, To: to, Out: recv, From: from, Meta: meta})
}

// issue checks the call and does what is left of it on one rank: a copy.
func (c *comm) issue(call *collective.Call) collective.Work {
	if err := c.ended(); err != nil {
		return collective.FailedWork(call.Fail(c.info, err))
	}
	if err := call.Check(0, 1); err != nil {
		return collective.FailedWork(call.Fail(c.info, err))
	}
	if call.In.Device() != 0 || call.Out.Device() != 0 {
		return collective.FailedWork(call.Fail(c.info, fmt.Errorf("device memory: %w", collective.ErrUnsupported)))
	}
	if call.Kind == collective.KindSendRecv && call.In.Len() != call.Out.Len() {
		err := fmt.Errorf("sends %d elements to itself and receives %d", call.In.Len(), call.Out.Len())
		c.abort(&collective.AbortError{Kind: collective.ErrDesync, Reason: err.Error()})
		return collective.FailedWork(call.Fail(c.info, c.ended()))
	}
	copyBuf(call.Out, call.In)
	return collective.Work{}
}

// copyBuf copies src to dst; copying a buffer to itself is harmless.
func copyBuf(dst, src collective.Buf) {
	copy(dst.Float32s(), src.Float32s())
	copy(dst.Float64s(), src.Float64s())
	copy(dst.Int64s(), src.Int64s())
	copy(dst.Bytes(), src.Bytes())
}

func (c *comm) Alloc(ctx context.Context, bytes int64) (collective.Region, error) {
	call := collective.Call{Kind: collective.KindAlloc}
	if err := c.ended(); err != nil {
		return nil, call.Fail(c.info, err)
	}
	if bytes < 0 {
		return nil, call.Fail(c.info, fmt.Errorf("region of %d bytes", bytes))
	}
	// The Go heap aligns blocks above 32 KiB to pages, smaller ones less.
	const aligned = 32<<10 + 64
	n := bytes / 4
	return &region{bytes, make([]float32, max(n, aligned/4))[:n:n]}, nil
}

func (c *comm) Abort(cause error) {
	if cause == nil {
		cause = errors.New("no cause given")
	}
	c.abort(&collective.AbortError{Reason: cause.Error(), Cause: cause})
}

func (c *comm) Close(context.Context) error {
	c.abort(&collective.AbortError{Kind: collective.ErrClosed, Reason: "closed"})
	return nil
}

func (c *comm) abort(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.err = err
	}
}

func (c *comm) ended() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

type region struct {
	bytes int64
	data  []float32
}

func (r *region) Len() int64          { return r.bytes }
func (r *region) Float32s() []float32 { return r.data }

func (r *region) Free(context.Context) error {
	r.data = nil
	return nil
}
