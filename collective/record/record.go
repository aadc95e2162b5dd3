// Package record is the flight recorder of a communicator: each rank keeps
// its last operations in memory, and when a group hangs or breaks, [Judge]
// says from the tails of all ranks who is at fault, in which operation and
// bucket.
//
// # Promises
//
// Recording allocates nothing and never waits for another rank. [Judge] is a
// pure function of the tails, so that every rank, agent and test comes to the
// same verdict. No clocks are compared between machines: it goes by the order
// of operations and by how long ago they were, each on its own rank's clock.
//
// # What it leaves to others
//
// Collecting tails over the control plane, and acting on verdicts. Tails
// should be taken at about the same time, once a deadline has passed.
//
// # Example
//
//	rec := record.New(0)
//	comm, err := shm.Join(file, rank, shm.Options{Observe: rec.Observe})
//	train(rec.Wrap(comm)) // sees operations when they are issued
//
//	// when something is wrong
//	rec.Tail().Write(file)
//	fmt.Println(record.Judge(world, tails)) // rank 2 never arrived: allreduce seq 7 bucket 3
package record

import (
	"errors"
	"sync"
	"time"

	"github.com/espalier-ml/espalier/collective"
)

// Entry is one operation of one rank.
type Entry struct {
	Index  uint64    `json:"index"` // among the operations of the rank, from 1: equal on all ranks
	Op     string    `json:"op"`    // "allreduce", "barrier", ...
	Seq    uint64    `json:"seq"`   // collective.OpMeta
	Bucket int32     `json:"bucket"`
	Sig    uint64    `json:"sig"`
	Bytes  int       `json:"bytes"`
	Queued time.Time `json:"queued"`
	Start  time.Time `json:"start,omitzero"` // known when the operation has ended
	End    time.Time `json:"end,omitzero"`
	Err    string    `json:"err,omitempty"`
}

// Ended reports whether the operation is over, well or not.
func (e *Entry) Ended() bool { return !e.End.IsZero() }

// Complete reports whether the operation ended well.
func (e *Entry) Complete() bool { return e.Ended() && e.Err == "" }

// Recorder keeps the last operations of one rank. Its methods may be called
// from any goroutine.
type Recorder struct {
	now func() time.Time

	mu   sync.Mutex
	info collective.Info
	ring []slot
	next uint64 // index of the next operation, from 1
	open uint64 // index before which all have ended
}

// slot is an entry as it is kept: without the text of its error.
type slot struct {
	Entry
	err error
}

const defaultSize = 512

// New makes a recorder of the last operations, size of them; 0 means 512.
func New(size int) *Recorder {
	if size <= 0 {
		size = defaultSize
	}
	return &Recorder{now: time.Now, ring: make([]slot, size), next: 1, open: 1}
}

func (r *Recorder) at(index uint64) *slot { return &r.ring[index%uint64(len(r.ring))] }

// add notes a new operation. r.mu is held.
func (r *Recorder) add(k collective.Kind, meta collective.OpMeta, bytes int, queued time.Time) *slot {
	s := r.at(r.next)
	*s = slot{Entry: Entry{Index: r.next, Op: k.String(), Seq: meta.Seq, Bucket: meta.Bucket, Sig: meta.Sig, Bytes: bytes, Queued: queued}}
	r.next++
	if size := uint64(len(r.ring)); r.next > size {
		r.open = max(r.open, r.next-size)
	}
	return s
}

// Observe is for a transport's Options.Observe.
func (r *Recorder) Observe(e collective.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.oldest(e)
	if s == nil { // it was not issued through Wrap
		s = r.add(e.Kind, e.Meta, e.Bytes, e.Start)
	}
	s.Start, s.End, s.err = e.Start, e.End, e.Err
	r.advance()
}

// oldest is the oldest operation that has not ended, if it is that of the
// event: transports work in the order of issue.
func (r *Recorder) oldest(e collective.Event) *slot {
	if r.open == r.next {
		return nil
	}
	s := r.at(r.open)
	if s.Op == e.Kind.String() && s.Seq == e.Meta.Seq && s.Bucket == e.Meta.Bucket && s.Sig == e.Meta.Sig {
		return s
	}
	return nil
}

// advance skips what has ended.
func (r *Recorder) advance() {
	for r.open < r.next && r.at(r.open).Ended() {
		r.open++
	}
}

// issued notes an operation before the transport gets it.
func (r *Recorder) issued(k collective.Kind, meta collective.OpMeta, bytes int) uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.add(k, meta, bytes, r.now()).Index
}

// refused takes back the last operation, which failed before it began: no
// other rank counts it.
func (r *Recorder) refused(index uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if index == r.next-1 && !r.at(index).Ended() {
		*r.at(index) = slot{}
		r.next--
	}
}

// alone tells errors of an operation that never began.
func alone(err error) bool { return err != nil && !errors.Is(err, collective.ErrAborted) }
