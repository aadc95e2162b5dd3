package shm

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/espalier-ml/espalier/collective"
	"github.com/espalier-ml/espalier/collective/fold"
	"github.com/espalier-ml/espalier/collective/queue"
)

// Options of a rank. The zero value is good.
type Options struct {
	// Spin is how long a waiting rank polls before it sleeps. Longer is
	// faster when every rank has a core to itself and takes time from others
	// when not. 0 chooses by the number of ranks and processors; negative
	// means not at all.
	Spin time.Duration

	// Timeout ends the wait for a rank within an operation. It must be longer
	// than any pause a healthy rank makes between operations (evaluation,
	// compiling a grown network). 0 means 10 minutes.
	Timeout time.Duration

	// Observe, if not nil, is called after each operation, by the goroutine
	// that carried it out. It must be short.
	Observe func(collective.Event)
}

const defaultTimeout = 10 * time.Minute

// Comm is one rank's end of a group. It implements collective.Comm.
type Comm struct {
	info    collective.Info
	observe func(collective.Event)

	// mu guards what issuing, waiting and ending share.
	mu       sync.Mutex
	work     sync.Cond             // the queue has work, or closing was set
	queue    *queue.Queue[*region] // with those of alloc and free
	cause    error                 // given to Abort by this rank
	closing  bool
	released bool // ctl is unmapped

	done chan struct{} // the progress goroutine has ended

	// exec is held by whoever carries out operations: the progress goroutine
	// or a caller that waits. It guards all below.
	exec    sync.Mutex
	cur     queue.Op[*region] // the operation in work
	seg     segment
	page    []byte // the control page and staging areas
	ctl     *control
	bar     barrier
	posted  uint64
	stages  stages
	regions []*region // by number, nil when freed
	next    int64     // where the next region begins in the segment
	fold    *fold.Folder
	results [][]byte // by rank: where a sum of parts goes

	divisions collective.Divisions
}

func newComm(seg segment, rank int, o Options) (*Comm, error) {
	head, err := seg.window(0, controlBytes)
	if err != nil {
		return nil, err
	}
	err = controlOf(head).check()
	world := int(controlOf(head).world)
	seg.unmap(head)
	if err != nil {
		return nil, err
	}
	if rank < 0 || rank >= world {
		return nil, fmt.Errorf("shared memory: rank %d in a group of %d", rank, world)
	}
	size := headBytes(world)
	if head, err = seg.window(0, size); err != nil {
		return nil, err
	}
	ctl := controlOf(head)
	if !ctl.ranks[rank].joined.CompareAndSwap(0, 1) {
		seg.unmap(head)
		return nil, fmt.Errorf("shared memory: rank %d has joined already", rank)
	}
	c := &Comm{
		info:    collective.Info{Gen: ctl.generation(), Rank: collective.Rank(rank), World: world, Transport: "shm"},
		observe: o.Observe,
		done:    make(chan struct{}),
		seg:     seg,
		page:    head,
		ctl:     ctl,
		bar:     barrier{ctl: ctl, rank: rank, world: uint32(world), spin: spinFor(o.Spin, world, int(ctl.cpus)), timeout: o.Timeout},
		stages:  stages{mem: head, world: world},
		next:    size,
		fold:    fold.New(world),
		results: make([][]byte, world),
	}
	if c.bar.timeout <= 0 {
		c.bar.timeout = defaultTimeout
	}
	c.queue = queue.New[*region](&c.mu, c.info)
	c.work.L = &c.mu
	go c.progress()
	return c, nil
}

// Info implements collective.Comm.
func (c *Comm) Info() collective.Info { return c.info }

// AllReduce implements collective.Comm.
func (c *Comm) AllReduce(b collective.Buf, op collective.Op, meta collective.OpMeta) collective.Work {
	return c.issue(&collective.Call{Kind: collective.KindAllReduce, In: b, Out: b, Op: op, Meta: meta}, nil)
}

// SumShards implements collective.Comm.
func (c *Comm) SumShards(parts []collective.Buf, shards int, meta collective.OpMeta) collective.Work {
	call, err := c.divisions.Call(c.info, parts, shards, meta)
	if err != nil {
		return collective.FailedWork(call.Fail(c.info, err))
	}
	return c.issue(&call, nil)
}

// ReduceScatter implements collective.Comm.
func (c *Comm) ReduceScatter(in, out collective.Buf, op collective.Op, meta collective.OpMeta) collective.Work {
	return c.issue(&collective.Call{Kind: collective.KindReduceScatter, In: in, Out: out, Op: op, Meta: meta}, nil)
}

// AllGather implements collective.Comm.
func (c *Comm) AllGather(in, out collective.Buf, meta collective.OpMeta) collective.Work {
	return c.issue(&collective.Call{Kind: collective.KindAllGather, In: in, Out: out, Meta: meta}, nil)
}

// Broadcast implements collective.Comm.
func (c *Comm) Broadcast(b collective.Buf, root collective.Rank, meta collective.OpMeta) collective.Work {
	return c.issue(&collective.Call{Kind: collective.KindBroadcast, In: b, Out: b, To: root, Meta: meta}, nil)
}

// Barrier implements collective.Comm.
func (c *Comm) Barrier(meta collective.OpMeta) collective.Work {
	return c.issue(&collective.Call{Kind: collective.KindBarrier, Meta: meta}, nil)
}

// SendRecv implements collective.Comm.
func (c *Comm) SendRecv(send collective.Buf, to collective.Rank, recv collective.Buf, from collective.Rank, meta collective.OpMeta) collective.Work {
	return c.issue(&collective.Call{Kind: collective.KindSendRecv, In: send, To: to, Out: recv, From: from, Meta: meta}, nil)
}

// issue queues a call, or fails it at once.
func (c *Comm) issue(call *collective.Call, r *region) collective.Work {
	err := call.Check(c.info.Rank, c.info.World)
	if err == nil && (call.In.Device() != 0 || call.Out.Device() != 0) {
		err = fmt.Errorf("device memory: %w", collective.ErrUnsupported)
	}
	if err != nil {
		return collective.FailedWork(call.Fail(c.info, err))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.whyNot(); err != nil {
		return collective.FailedWork(call.Fail(c.info, err))
	}
	token := c.queue.Push(call, r)
	c.work.Signal()
	return collective.NewWork(c, token)
}

// whyNot is why no operation can be issued. c.mu is held.
func (c *Comm) whyNot() error {
	switch {
	case c.queue.Failed() != nil:
		return c.queue.Failed()
	case c.closing:
		return closedBy(c.info.Rank)
	case c.ctl.abort.state.Load() != 0:
		return c.withCause(c.ctl.ended())
	}
	return nil
}

func closedBy(r collective.Rank) *collective.AbortError {
	return &collective.AbortError{By: r, Kind: collective.ErrClosed, Reason: "closed"}
}

// withCause adds the error that this rank gave to Abort. c.mu is held.
func (c *Comm) withCause(err error) error {
	if e, ok := err.(*collective.AbortError); ok && e.By == c.info.Rank && c.cause != nil {
		e.Cause = c.cause
	}
	return err
}

// Abort implements collective.Comm.
func (c *Comm) Abort(cause error) {
	if cause == nil {
		cause = errors.New("no cause given")
	}
	c.end(codeOther, cause)
}

func (c *Comm) end(code uint32, cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.released {
		return
	}
	if c.cause == nil {
		c.cause = cause
	}
	c.ctl.end(c.info.Rank, code, cause.Error())
}

// Close implements collective.Comm.
func (c *Comm) Close(ctx context.Context) error {
	c.mu.Lock()
	if c.closing {
		c.mu.Unlock()
		<-c.done
		return nil
	}
	c.closing = true
	last := c.queue.Issued()
	c.mu.Unlock()

	err := c.Wait(ctx, last)
	if err != nil && !errors.Is(err, collective.ErrAborted) {
		c.end(codeClosed, fmt.Errorf("rank %d closed while operations were pending", c.info.Rank))
	}
	c.mu.Lock()
	c.work.Signal()
	c.mu.Unlock()
	<-c.done
	c.release()
	if err != nil {
		return fmt.Errorf("close: %w", err)
	}
	return nil
}

// release gives all memory back. Nothing runs any more.
func (c *Comm) release() {
	c.exec.Lock()
	defer c.exec.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.released = true
	c.queue.Fail(closedBy(c.info.Rank))
	c.ctl.close(int(c.info.Rank))
	for _, r := range c.regions {
		if r != nil {
			c.seg.unmap(r.mem)
			r.mem, r.arenas = nil, nil
		}
	}
	c.seg.unmap(c.page)
	c.page, c.ctl, c.regions = nil, nil, nil
	c.seg.close()
}
