package collective

import (
	"fmt"
	"time"
)

// Kind is which method of Comm an operation came from.
type Kind uint8

// The kinds of operations.
const (
	KindAllReduce Kind = iota + 1
	KindReduceScatter
	KindAllGather
	KindBroadcast
	KindBarrier
	KindSendRecv
	KindAlloc
	KindFree
)

func (k Kind) String() string {
	names := [...]string{"none", "allreduce", "reducescatter", "allgather", "broadcast", "barrier", "sendrecv", "alloc", "free"}
	if int(k) < len(names) {
		return names[k]
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// Call is an operation as it was issued, for the use of transports. AllReduce
// and Broadcast have their buffer in both In and Out; To is the root of a
// broadcast. A SumShards is an AllReduce, of its first part, that has Parts
// and a Division where those matter.
type Call struct {
	Kind     Kind
	In, Out  Buf
	Op       Op
	To, From Rank
	Meta     OpMeta

	Parts    []Buf     // of this rank; nil for one, which is In
	Division *Division // of the shards; nil for a sum over ranks
}

// Leaves is the number of buffers that the rank adds to a reduction.
func (c *Call) Leaves() int { return max(1, len(c.Parts)) }

// Leaf is one of them.
func (c *Call) Leaf(i int) Buf {
	if c.Parts == nil {
		return c.In
	}
	return c.Parts[i]
}

// Shards is the number of shards of a SumShards, 0 for other operations and
// where it is a sum over ranks.
func (c *Call) Shards() int {
	if c.Division == nil {
		return 0
	}
	return c.Division.Shards
}

// Check returns what is wrong with the arguments, nil if nothing is.
func (c *Call) Check(rank Rank, world int) error {
	switch c.Kind {
	case KindAllReduce:
		return c.checkReduction()
	case KindReduceScatter:
		if c.In.Len() != world*c.Out.Len() || c.In.Type() != c.Out.Type() {
			return fmt.Errorf("reducescatter of %s[%d] into %s[%d] on %d ranks: want an input of %d times the output", c.In.Type(), c.In.Len(), c.Out.Type(), c.Out.Len(), world, world)
		}
		return c.checkReduction()
	case KindAllGather:
		if c.Out.Len() != world*c.In.Len() || c.In.Type() != c.Out.Type() {
			return fmt.Errorf("allgather of %s[%d] into %s[%d] on %d ranks: want an output of %d times the input", c.In.Type(), c.In.Len(), c.Out.Type(), c.Out.Len(), world, world)
		}
		return checkTyped(c.In)
	case KindBroadcast:
		if c.To < 0 || int(c.To) >= world {
			return fmt.Errorf("broadcast from rank %d in a world of %d", c.To, world)
		}
		return checkTyped(c.In)
	case KindSendRecv:
		return c.checkSendRecv(world)
	}
	return nil
}

func (c *Call) checkReduction() error {
	if c.Op != Sum && c.Op != Max {
		return fmt.Errorf("%s: %v: %w", c.Kind, c.Op, ErrUnsupported)
	}
	if c.In.Type() == Uint8 {
		return fmt.Errorf("%s: %v of %v: %w", c.Kind, c.Op, c.In.Type(), ErrUnsupported)
	}
	return checkTyped(c.In)
}

func (c *Call) checkSendRecv(world int) error {
	for _, side := range []struct {
		what string
		peer Rank
		buf  Buf
	}{{"send to", c.To, c.In}, {"receive from", c.From, c.Out}} {
		if side.peer == NoRank && side.buf.Len() == 0 {
			continue
		}
		if side.peer < 0 || int(side.peer) >= world {
			return fmt.Errorf("sendrecv: %s rank %d in a world of %d", side.what, side.peer, world)
		}
		if err := checkTyped(side.buf); err != nil {
			return err
		}
	}
	return nil
}

func checkTyped(b Buf) error {
	if b.Type().Size() == 0 {
		return fmt.Errorf("buffer without a type: %w", ErrUnsupported)
	}
	return nil
}

// Fail wraps err in an OpError of this call.
func (c *Call) Fail(info Info, err error) error {
	return &OpError{Rank: info.Rank, Gen: info.Gen.N, Op: c.Kind.String(), Seq: c.Meta.Seq, Bucket: c.Meta.Bucket, Err: err}
}

// Event is one finished operation, as a transport tells an observer: for
// flight recorders, traces, and the share of communication that is exposed.
type Event struct {
	Kind       Kind
	Meta       OpMeta
	Bytes      int       // of the input buffer
	Start, End time.Time // when the transport began and ended to work on it
	Err        error
}
