package tcp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"

	"github.com/espalier-ml/espalier/collective"
	"github.com/espalier-ml/espalier/collective/codec"
	"github.com/espalier-ml/espalier/collective/fold"
	"github.com/espalier-ml/espalier/collective/queue"
)

// MaxWorld is the largest group.
const MaxWorld = 64

// Comm is one rank's end of a group. It implements collective.Comm.
type Comm struct {
	info  collective.Info
	o     Options
	id    identity
	short int     // bytes up to which an operation is short
	peers []*peer // by rank, nil for this one

	// mu guards what issuing, waiting, meeting and ending share.
	mu        sync.Mutex
	queue     *queue.Queue[extra] // failed when nothing touches buffers any more
	boxes     [2]box              // of two operations in turn
	running   bool                // the operation at the head has begun
	finishing bool                // and is complete, but for telling
	regions   []*region           // by number from 1, nil when freed
	closing   bool
	quiet     bool                   // the peers know that this rank leaves
	verdict   *collective.AbortError // why the group ends
	upTo      uint64                 // operations to complete before it does
	condemned uint32                 // tick of the verdict
	doubted   uint32                 // tick of the first sign that ranks disagree, 0 for none
	odd       string                 // a frame that does not fit what its rank began

	begun atomic.Uint64 // token of the last operation that has begun
	dead  atomic.Bool   // nothing begins or moves any more
	clock atomic.Uint32 // ticks of the watchman

	exec sync.Mutex   // held while an operation is launched or met
	cur  op           // the one that has begun
	fold *fold.Folder // for short operations

	divisions collective.Divisions

	gate gate

	movers    sync.WaitGroup // goroutines that touch buffers
	talkers   sync.WaitGroup // those of control links
	watchers  sync.WaitGroup // the watchman
	stop      chan struct{}  // ends the watchman
	farewells chan struct{}  // a peer has heard or left; buffered
	gone      chan struct{}  // all goroutines have ended
}

// extra is what the queue keeps with an operation.
type extra struct {
	region *region     // of alloc and free
	code   codec.Codec // of the data on the wire, nil for none
}

// Open connects this rank with all others and returns when its own links are
// complete. peers lists all ranks, this one included, in any order. All ranks
// must come within the time of ctx or Options.Connect. Connections that do
// not belong to the group (another run, generation, history, world, rank,
// configuration, version, certificate) are refused with a reason, on both
// sides; if one of the listed addresses refuses for good, Open fails.
func Open(ctx context.Context, gen collective.Gen, self collective.Rank, peers []Peer, o Options) (*Comm, error) {
	o = o.withDefaults()
	fail := func(err error) (*Comm, error) {
		if o.Listener != nil {
			o.Listener.Close()
		}
		return nil, fmt.Errorf("tcp: rank %d of %d, generation %d: %w", self, len(peers), gen.N, err)
	}
	if err := o.validate(); err != nil {
		return fail(err)
	}
	addrs, err := checkPeers(self, peers, o.Plain)
	if err != nil {
		return fail(err)
	}
	m := newMesh(gen, self, addrs, &o)
	if err := m.connect(ctx); err != nil {
		return fail(err)
	}
	return newComm(gen, self, m.conns, o), nil
}

func newComm(gen collective.Gen, self collective.Rank, conns [][]net.Conn, o Options) *Comm {
	world := len(conns)
	c := &Comm{
		info:      collective.Info{Gen: gen, Rank: self, World: world, Transport: "tcp"},
		o:         o,
		id:        identity{group: groupHash(gen), gen: uint32(gen.N)},
		short:     o.shortLimit(world),
		fold:      fold.New(world),
		stop:      make(chan struct{}),
		farewells: make(chan struct{}, 1),
		gone:      make(chan struct{}),
	}
	c.queue = queue.New[extra](&c.mu, c.info)
	c.gate.cond.L = &c.gate.mu
	for i := range c.boxes {
		c.boxes[i].from = make([]letter, world)
	}
	c.cur.init(c)
	c.peers = make([]*peer, world)
	for r, links := range conns {
		if r == int(self) {
			continue
		}
		p := &peer{rank: collective.Rank(r)}
		for i, conn := range links {
			p.links = append(p.links, newLink(c, p, i, conn))
		}
		upwards, downwards := p.links[1:1+o.Sockets], p.links[1+o.Sockets:]
		if p.out, p.in = upwards, downwards; r < int(self) {
			p.out, p.in = downwards, upwards
		}
		for i := range p.in {
			p.in[i].turn, p.out[i].turn = i, i
		}
		c.peers[r] = p
	}
	c.start()
	return c
}

// start brings the goroutines to life.
func (c *Comm) start() {
	for _, p := range c.peers {
		if p == nil {
			continue
		}
		for _, l := range p.links {
			group, receive := &c.movers, l.receiveData
			if l.index == 0 {
				group, receive = &c.talkers, l.receiveControl
			}
			group.Go(func() {
				c.lost(l, l.send())
				l.closeWrite()
			})
			group.Go(func() { c.lost(l, receive()) })
		}
	}
	c.watchers.Go(c.watch)
}

// Info implements collective.Comm.
func (c *Comm) Info() collective.Info { return c.info }

// AllReduce implements collective.Comm.
func (c *Comm) AllReduce(b collective.Buf, op collective.Op, meta collective.OpMeta) collective.Work {
	return c.issue(&collective.Call{Kind: collective.KindAllReduce, In: b, Out: b, Op: op, Meta: meta})
}

// SumShards implements collective.Comm.
func (c *Comm) SumShards(parts []collective.Buf, shards int, meta collective.OpMeta) collective.Work {
	call, err := c.divisions.Call(c.info, parts, shards, meta)
	if err != nil {
		return collective.FailedWork(call.Fail(c.info, err))
	}
	return c.issue(&call)
}

// ReduceScatter implements collective.Comm.
func (c *Comm) ReduceScatter(in, out collective.Buf, op collective.Op, meta collective.OpMeta) collective.Work {
	return c.issue(&collective.Call{Kind: collective.KindReduceScatter, In: in, Out: out, Op: op, Meta: meta})
}

// AllGather implements collective.Comm.
func (c *Comm) AllGather(in, out collective.Buf, meta collective.OpMeta) collective.Work {
	return c.issue(&collective.Call{Kind: collective.KindAllGather, In: in, Out: out, Meta: meta})
}

// Broadcast implements collective.Comm.
func (c *Comm) Broadcast(b collective.Buf, root collective.Rank, meta collective.OpMeta) collective.Work {
	return c.issue(&collective.Call{Kind: collective.KindBroadcast, In: b, Out: b, To: root, Meta: meta})
}

// Barrier implements collective.Comm.
func (c *Comm) Barrier(meta collective.OpMeta) collective.Work {
	return c.issue(&collective.Call{Kind: collective.KindBarrier, Meta: meta})
}

// SendRecv implements collective.Comm.
func (c *Comm) SendRecv(send collective.Buf, to collective.Rank, recv collective.Buf, from collective.Rank, meta collective.OpMeta) collective.Work {
	return c.issue(&collective.Call{Kind: collective.KindSendRecv, In: send, To: to, Out: recv, From: from, Meta: meta})
}

func (c *Comm) issue(call *collective.Call) collective.Work { return c.enqueue(call, nil, nil) }

// enqueue queues a call, or fails it at once, and begins it if none is under
// way.
func (c *Comm) enqueue(call *collective.Call, r *region, code codec.Codec) collective.Work {
	err := call.Check(c.info.Rank, c.info.World)
	switch {
	case err != nil:
	case call.In.Device() != 0 || call.Out.Device() != 0:
		err = fmt.Errorf("device memory: %w", collective.ErrUnsupported)
	case call.In.Size() > maxBytes || call.Out.Size() > maxBytes:
		err = fmt.Errorf("buffer of more than %d bytes: %w", int64(maxBytes), collective.ErrUnsupported)
	}
	if err != nil {
		return collective.FailedWork(call.Fail(c.info, err))
	}
	c.mu.Lock()
	if err := c.whyNot(); err != nil {
		c.mu.Unlock()
		return collective.FailedWork(call.Fail(c.info, err))
	}
	token := c.queue.Push(call, extra{r, code})
	begun := c.begin()
	c.mu.Unlock()
	if begun {
		c.run()
	}
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

// Abort implements collective.Comm. If the cause is an AbortError, the others
// learn who is missing.
func (c *Comm) Abort(cause error) {
	if cause == nil {
		cause = errors.New("no cause given")
	}
	e := &collective.AbortError{By: c.info.Rank, Reason: cause.Error(), Cause: cause}
	var known *collective.AbortError
	if errors.As(cause, &known) {
		e.Missing = (setOf(known.Missing) & (1<<c.info.World - 1)).list()
	}
	c.end(e, 0)
}

// others is the set of all ranks but this one.
func (c *Comm) others() ranks { return (ranks(1)<<c.info.World - 1) &^ c.only(c.info.Rank) }

func (c *Comm) only(r collective.Rank) ranks { return 1 << r }
