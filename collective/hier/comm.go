package hier

import (
	"context"
	"errors"
	"fmt"
	"math/bits"
	"sync"
	"time"

	"github.com/espalier-ml/espalier/collective"
	"github.com/espalier-ml/espalier/collective/fold"
	"github.com/espalier-ml/espalier/collective/queue"
)

// Options of a rank. The zero value is good. All ranks must have the same.
type Options struct {
	// Chunk is how many bytes of a long buffer are under way in one transport
	// at a time. 0 means 4 MiB.
	Chunk int

	// Observe, if not nil, is called after each operation. It must be short.
	Observe func(collective.Event)
}

// Comm is one rank's end of a group. It implements collective.Comm.
type Comm struct {
	info          collective.Info
	o             Options
	local, across collective.Comm
	l, perHost    int // index within the host, ranks of a host
	h, hosts      int

	mu      sync.Mutex            // guards what follows
	work    sync.Cond             // the queue has work, or closing was set
	queue   *queue.Queue[*region] // with those of alloc and free
	closing bool
	verdict *collective.AbortError // why the group ended

	divisions collective.Divisions

	done chan struct{} // the progress goroutine has ended

	// The progress goroutine's own.
	letters []byte // of all ranks
	mine    []byte
	hostful []byte
	fold    *fold.Folder
	room    []byte
	regions uint64 // made so far
}

// New joins the groups of a rank: local holds the ranks of its host, across
// those of the same index on all hosts, one each, in the order of hosts. All
// ranks call it at the same time; both groups must be of one generation and
// have no operation in flight. If it fails, both are closed.
func New(ctx context.Context, local, across collective.Comm, o Options) (*Comm, error) {
	a, b := local.Info(), across.Info()
	c := &Comm{
		o: o, local: local, across: across, done: make(chan struct{}),
		l: int(a.Rank), perHost: a.World, h: int(b.Rank), hosts: b.World,
	}
	if c.o.Chunk <= 0 {
		c.o.Chunk = 4 << 20
	}
	c.info = collective.Info{Gen: a.Gen, Rank: collective.Rank(c.h*c.perHost + c.l), World: c.perHost * c.hosts, Transport: "hier"}
	c.queue = queue.New[*region](&c.mu, c.info)
	c.work.L = &c.mu
	err := c.agree(ctx)
	if err == nil && a.Gen != b.Gen {
		err = fmt.Errorf("generation %d within the host and %d across", a.Gen.N, b.Gen.N)
	}
	if err != nil {
		local.Close(ctx)
		across.Close(ctx)
		return nil, fmt.Errorf("hier: host %d, index %d: %w", c.h, c.l, err)
	}
	c.letters = make([]byte, letterBytes*c.info.World)
	c.mine = make([]byte, letterBytes)
	c.hostful = make([]byte, letterBytes*c.perHost)
	c.fold = fold.New(c.info.World)
	go c.progress()
	return c, nil
}

// agree makes sure that all hosts have the same number of ranks, a power of
// two. Ranks find it in one of the groups or the other, but all find it.
func (c *Comm) agree(ctx context.Context) error {
	hosts, sizes := make([]int64, c.perHost), make([]int64, c.hosts)
	err := errors.Join(
		c.local.AllGather(collective.Int64s([]int64{int64(c.hosts)}), collective.Int64s(hosts), collective.OpMeta{}).Wait(ctx),
		c.across.AllGather(collective.Int64s([]int64{int64(c.perHost)}), collective.Int64s(sizes), collective.OpMeta{}).Wait(ctx))
	if err != nil {
		return err
	}
	for k, n := range sizes {
		if n != sizes[0] {
			return fmt.Errorf("host 0 has %d ranks, host %d has %d: want equal numbers", sizes[0], k, n)
		}
	}
	for k, n := range hosts {
		if n != hosts[0] {
			return fmt.Errorf("index 0 is on %d hosts, index %d on %d: want equal numbers of ranks on all hosts", hosts[0], k, n)
		}
	}
	if bits.OnesCount(uint(c.perHost)) != 1 {
		return fmt.Errorf("%d ranks on a host: want a power of two, so that the result does not depend on where ranks are", c.perHost)
	}
	return nil
}

// Info implements collective.Comm.
func (c *Comm) Info() collective.Info { return c.info }

// AllReduce implements collective.Comm.
func (c *Comm) AllReduce(b collective.Buf, op collective.Op, meta collective.OpMeta) collective.Work {
	return c.issue(&collective.Call{Kind: collective.KindAllReduce, In: b, Out: b, Op: op, Meta: meta}, nil)
}

// SumShards implements collective.Comm. It is refused where the sums of hosts
// are not subtrees of the shards' tree: what a power of two of hosts never
// runs into.
func (c *Comm) SumShards(parts []collective.Buf, shards int, meta collective.OpMeta) collective.Work {
	call, err := c.divisions.Call(c.info, parts, shards, meta)
	if err == nil && call.Division != nil {
		err = fmt.Errorf("%d shards on %d hosts of %d ranks: want numbers that are powers of two, or one transport between all ranks: %w", shards, c.hosts, c.perHost, collective.ErrUnsupported)
	}
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
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil {
		err = c.whyNot()
	}
	if err != nil {
		return collective.FailedWork(call.Fail(c.info, err))
	}
	token := c.queue.Push(call, r)
	c.work.Signal()
	return collective.NewWork(c.queue, token)
}

// whyNot is why no operation can be issued. c.mu is held.
func (c *Comm) whyNot() error {
	switch {
	case c.queue.Failed() != nil:
		return c.queue.Failed()
	case c.verdict != nil:
		return c.verdict
	case c.closing:
		return closedBy(c.info.Rank)
	}
	return nil
}

func closedBy(r collective.Rank) *collective.AbortError {
	return &collective.AbortError{By: r, Kind: collective.ErrClosed, Reason: "closed"}
}

// progress carries out operations, in the order of issue, until Close.
func (c *Comm) progress() {
	defer close(c.done)
	for {
		op, ok := c.next()
		if !ok {
			return
		}
		e := collective.Event{Kind: op.Call.Kind, Meta: op.Call.Meta, Bytes: op.Call.In.Size()}
		if c.o.Observe != nil {
			e.Start = time.Now()
		}
		err := c.run(&op)
		if err != nil {
			err = c.fail(err)
		}
		if c.o.Observe != nil {
			e.End, e.Err = time.Now(), err
			c.o.Observe(e)
		}
		c.finish(err)
	}
}

// next waits for an operation. It reports false when there is none and never
// will be, because the group failed or is closing.
func (c *Comm) next() (op queue.Op[*region], ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		_, oldest := c.queue.Oldest()
		switch {
		case c.verdict != nil:
			c.queue.Fail(c.verdict)
			return op, false
		case oldest != nil:
			return *oldest, true
		case c.closing:
			return op, false
		}
		c.work.Wait()
	}
}

// finish takes a complete operation off the queue. One that failed stays, for
// Wait to find.
func (c *Comm) finish(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		c.queue.Fail(err)
	} else {
		c.queue.Complete()
	}
}
