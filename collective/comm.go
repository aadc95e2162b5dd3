package collective

import (
	"context"
	"encoding/hex"
)

// Rank numbers a member of a group, 0 to world-1.
type Rank int

// NoRank stands for "nobody", where an operation may leave a side out.
const NoRank Rank = -1

// RunID names a training run.
type RunID [16]byte

func (id RunID) String() string { return hex.EncodeToString(id[:]) }

// Digest is a SHA-256 of something all ranks must agree on.
type Digest [32]byte

func (d Digest) String() string { return hex.EncodeToString(d[:8]) }

// Sig shortens the digest for OpMeta.
func (d Digest) Sig() uint64 {
	var s uint64
	for _, b := range d[:8] {
		s = s<<8 | uint64(b)
	}
	return s
}

// Gen is the generation of a group: it counts up whenever a run forms its
// group anew. Chain hashes the whole history, so that equal numbers of
// different histories are told apart.
type Gen struct {
	Run   RunID
	N     uint64
	Chain Digest
}

// Info describes a communicator. It never changes.
type Info struct {
	Gen       Gen
	Rank      Rank
	World     int
	Transport string // "solo", "shm", "tcp", ...
}

// OpMeta says what an operation belongs to. All three must be equal on all
// ranks; they are checked with the operation's signature and appear in errors.
type OpMeta struct {
	Seq    uint64 // the caller's number, usually the training step
	Bucket int32  // the gradient bucket, or any number the caller likes
	Sig    uint64 // digest of the plan the buffer is laid out by, Digest.Sig
}

// Comm is one rank's membership in a group.
//
// Operations are asynchronous: a call queues one and returns; the transport
// runs them in the order of issue. All ranks must issue the same operations
// in the same order. The methods may be called from any goroutine, but it is
// the caller who brings concurrent calls into the same order on all ranks.
// A buffer belongs to the transport until Wait of its operation returned.
//
// A bad argument (wrong lengths, unsupported type) fails the Work at once on
// the rank that passed it, and breaks nothing else.
type Comm interface {
	Info() Info

	// Alloc returns zeroed memory of the given size on every rank, owned by
	// the transport. It is collective and blocks; sizes must agree.
	Alloc(ctx context.Context, bytes int64) (Region, error)

	// AllReduce combines b of all ranks elementwise, in place, with the same
	// bits on every rank. Float sums follow SumTree over the ranks. If it
	// fails, what b holds is undefined.
	AllReduce(b Buf, op Op, meta OpMeta) Work

	// SumShards adds the partial sums of all parts of all ranks along the
	// tree of the shards: parts[i] is this rank's sum over shards
	// Parts(shards, world, rank)[i]. The result, bit for bit what one rank
	// gets that adds all shards along SumTree, lies in parts[0] on every
	// rank; what the other parts hold then is undefined. All parts are of one
	// type and length, on all ranks, and do not overlap; the slice parts
	// itself, too, belongs to the transport until Wait returned. Where the
	// tree over parts is that over ranks this is AllReduce.
	SumShards(parts []Buf, shards int, meta OpMeta) Work

	// ReduceScatter combines in of all ranks and leaves the rank's own
	// 1/world part of the result in out. len(in) = world * len(out). out may
	// be that part of in itself.
	ReduceScatter(in, out Buf, op Op, meta OpMeta) Work

	// AllGather concatenates in of all ranks, by rank, in out.
	// len(out) = world * len(in). in may be the rank's part of out itself.
	AllGather(in, out Buf, meta OpMeta) Work

	// Broadcast copies root's b to all ranks.
	Broadcast(b Buf, root Rank, meta OpMeta) Work

	// Barrier completes when every rank has issued it.
	Barrier(meta OpMeta) Work

	// SendRecv sends to one rank and receives from another. Every rank of the
	// group takes part; a side that has nothing to do passes NoRank and an
	// empty buffer. send and recv must not overlap.
	SendRecv(send Buf, to Rank, recv Buf, from Rank, meta OpMeta) Work

	// Abort ends the group: all pending and later operations of all ranks
	// fail with ErrAborted and the cause. It never waits for another rank
	// and may be called at any time, more than once; the first cause counts.
	Abort(cause error)

	// Close waits for issued operations until ctx ends, then gives back all
	// memory, regions included, and every other resource. It does not wait
	// for other ranks; one that still expects this rank in an operation gets
	// ErrAborted. Regions must not be touched afterwards.
	Close(ctx context.Context) error
}

// Region is memory owned by a transport, of equal size on every rank and
// aligned to 64 bytes at least.
type Region interface {
	// Len is the size in bytes.
	Len() int64

	// Float32s is the region as host memory, in whole elements; nil if it is
	// device memory or has been freed.
	Float32s() []float32

	// Free gives the memory back. It is collective like Alloc and waits for
	// the operations issued before. A region is freed by Close as well.
	Free(ctx context.Context) error
}

// Work is an operation in flight. It is a small value that may be copied,
// kept, and waited for any number of times from any goroutine.
type Work struct {
	pending Pending
	token   uint64
}

// Pending is what a transport implements behind Work. Tokens are the
// transport's own numbers of operations.
type Pending interface {
	Wait(ctx context.Context, token uint64) error
	Done(token uint64) bool
}

// NewWork is for transports: the handle of the operation they call token.
func NewWork(p Pending, token uint64) Work { return Work{p, token} }

// FailedWork is the handle of an operation that never began.
func FailedWork(err error) Work { return Work{failed{err}, 0} }

// Wait blocks until the operation ended and returns its error, an *OpError.
// If ctx ends first, the error wraps the context's and the operation goes on:
// the buffer stays in use. The zero Work is complete.
func (w Work) Wait(ctx context.Context) error {
	if w.pending == nil {
		return nil
	}
	return w.pending.Wait(ctx, w.token)
}

// Done reports, without blocking, whether the operation ended, well or not.
func (w Work) Done() bool { return w.pending == nil || w.pending.Done(w.token) }

type failed struct{ err error }

func (f failed) Wait(context.Context, uint64) error { return f.err }
func (f failed) Done(uint64) bool                   { return true }
