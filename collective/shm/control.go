package shm

import (
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/espalier-ml/espalier/collective"
)

// MaxWorld is the largest group.
const MaxWorld = 64

const (
	magic        = 0x6573_7061_6c69_6572 // "espalier"
	version      = 3
	controlBytes = 16 * pageSize
)

// control lies at the start of the segment. Fields that different ranks
// write are kept on cache lines of their own (in pairs, as lines are fetched).
type control struct {
	magic   uint64
	version uint32
	world   uint32
	run     [16]byte
	gen     uint64
	chain   [32]byte
	cpus    uint32 // processors of the host, which a rank that is bound to one cannot see
	_       [512 - 76]byte

	abort abortRecord // 512 bytes

	arrivals atomic.Uint32 // of all ranks at all barriers; jumps by poison on abort
	_        [124]byte
	sleepers atomic.Uint32 // ranks that may sleep on arrivals
	_        [124]byte

	ranks [MaxWorld]rankBlock
}

// rankBlock is written by its rank, but the host may set closed.
type rankBlock struct {
	arrived atomic.Uint32 // barriers this rank has arrived at
	closed  atomic.Uint32 // 1: it will arrive at no more
	joined  atomic.Uint32 // 1: somebody is this rank
	_       [116]byte
	slots   [2]signature // operation i is posted in slot i%2

	// parts[i%2] are the places of its parts, if it is a SumShards in regions.
	parts [2][collective.MaxParts]uint64
}

// signature is what an operation must have in common on all ranks.
type signature struct {
	kind     collective.Kind
	dtype    collective.DType // of the input
	outType  collective.DType
	op       collective.Op
	to, from int32
	bucket   int32
	in, out  uint64 // elements, bytes for alloc
	seq      uint64
	plan     uint64
	place    uint64 // where in which region the buffer lies, 0 for outside
	shards   uint64 // of a SumShards, else 0; place is then scattered or 0
}

// scattered is the place of buffers that lie in regions, but not at one place.
const scattered = 1<<placeBits - 1

// poison is added to arrivals on abort, so that nobody goes on waiting.
const poison = 1 << 30

// The codes of collective's kinds of abort in the record.
const (
	codeOther = iota
	codeDesync
	codeDeadline
	codeClosed
)

var codeKinds = [...]error{codeOther: nil, codeDesync: collective.ErrDesync, codeDeadline: collective.ErrDeadline, codeClosed: collective.ErrClosed}

// abortRecord is written once, by whoever aborts first.
type abortRecord struct {
	state atomic.Uint32 // 0, then claimed, then complete
	code  uint32
	by    int32
	n     uint32
	who   uint64 // missing, a bit a rank
	text  [488]byte
}

const (
	abortClaimed  = 1
	abortComplete = 2
)

func controlOf(mem []byte) *control { return (*control)(unsafe.Pointer(unsafe.SliceData(mem))) }

func (c *control) init(world int, gen collective.Gen) {
	c.magic, c.version, c.world = magic, version, uint32(world)
	c.run, c.gen, c.chain = gen.Run, gen.N, gen.Chain
	c.cpus = uint32(runtime.NumCPU())
}

// check refuses a segment that is not ours.
func (c *control) check() error {
	switch {
	case c.magic != magic:
		return errors.New("shared memory: not a group's segment: wrong magic number")
	case c.version != version:
		return fmt.Errorf("shared memory: segment of version %d, want %d: parent and worker are different builds", c.version, version)
	case c.world < 1 || c.world > MaxWorld:
		return fmt.Errorf("shared memory: segment for %d ranks, want 1 to %d", c.world, MaxWorld)
	}
	return nil
}

func (c *control) generation() collective.Gen {
	return collective.Gen{Run: c.run, N: c.gen, Chain: c.chain}
}

// end aborts the group unless it already is, and wakes everybody.
func (c *control) end(by collective.Rank, code uint32, reason string, missing ...collective.Rank) {
	a := &c.abort
	if a.state.CompareAndSwap(0, abortClaimed) {
		a.code, a.by = code, int32(by)
		for _, r := range missing {
			a.who |= 1 << r
		}
		a.n = uint32(copy(a.text[:], reason))
		a.state.Store(abortComplete)
		c.arrivals.Add(poison)
	}
	futexWakeAll(&c.arrivals)
}

// ended is why the group was aborted, nil if it was not.
func (c *control) ended() *collective.AbortError {
	a := &c.abort
	switch a.state.Load() {
	case 0:
		return nil
	case abortClaimed: // until the writer has come to the end, which it may not live to see
		for limit := time.Now().Add(time.Second); a.state.Load() != abortComplete; time.Sleep(100 * time.Microsecond) {
			if time.Now().After(limit) {
				return &collective.AbortError{By: collective.NoRank, Reason: "a rank died while it aborted the group"}
			}
		}
	}
	return a.read()
}

func (a *abortRecord) read() *collective.AbortError {
	e := &collective.AbortError{By: collective.Rank(a.by), Reason: string(a.text[:min(int(a.n), len(a.text))])}
	if int(a.code) < len(codeKinds) {
		e.Kind = codeKinds[a.code]
	}
	for r := range MaxWorld {
		if a.who>>r&1 != 0 {
			e.Missing = append(e.Missing, collective.Rank(r))
		}
	}
	return e
}

// close says that a rank arrives nowhere any more.
func (c *control) close(r int) {
	c.ranks[r].closed.Store(1)
	futexWakeAll(&c.arrivals)
}

// missing lists the ranks that have not arrived at a barrier.
func (c *control) missing(phase uint32) []collective.Rank {
	var who []collective.Rank
	for r := range int(c.world) {
		if int32(c.ranks[r].arrived.Load()-phase) < 0 {
			who = append(who, collective.Rank(r))
		}
	}
	return who
}

// gone is a rank that will never arrive at a barrier, -1 if there is none.
func (c *control) gone(phase uint32) int {
	for r := range int(c.world) {
		b := &c.ranks[r]
		if b.closed.Load() == 1 && int32(b.arrived.Load()-phase) < 0 {
			return r
		}
	}
	return -1
}
