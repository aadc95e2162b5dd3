package collective

import (
	"errors"
	"fmt"
)

// What callers branch on. A communicator that broke reports ErrAborted from
// then on; the others say why, where it is known.
var (
	// ErrAborted: the group is gone. Form another one.
	ErrAborted = errors.New("collective aborted")

	// ErrDesync: ranks issued different operations.
	ErrDesync = errors.New("ranks out of step")

	// ErrDeadline: a rank did not arrive within the transport's deadline.
	ErrDeadline = errors.New("deadline passed")

	// ErrClosed: the communicator, or that of a rank it needs, was closed.
	ErrClosed = errors.New("communicator closed")

	// ErrUnsupported: the transport has no such operation for such a buffer.
	ErrUnsupported = errors.New("unsupported operation")
)

// OpError is the error of an operation: where it happened.
type OpError struct {
	Rank   Rank   // the rank that reports it
	Gen    uint64 // Gen.N of its group
	Op     string // "allreduce", "barrier", ...
	Seq    uint64 // OpMeta.Seq
	Bucket int32  // OpMeta.Bucket
	Err    error
}

func (e *OpError) Error() string {
	return fmt.Sprintf("rank %d gen %d: %s seq %d bucket %d: %v", e.Rank, e.Gen, e.Op, e.Seq, e.Bucket, e.Err)
}

func (e *OpError) Unwrap() error { return e.Err }

// AbortError is why a group ended. It wraps ErrAborted, Kind, and, on the
// rank that called Abort, the cause it gave; others have the cause's text.
type AbortError struct {
	By     Rank  // who ended it, NoRank for the supervisor
	Kind   error // ErrDesync, ErrDeadline, ErrClosed, or nil
	Reason string
	Cause  error

	// Missing are the ranks that were waited for in vain, as far as this rank
	// can tell too: what others say of a rank that it hears from is left out.
	// By has only noticed. nil if none is known.
	Missing []Rank
}

func (e *AbortError) Error() string {
	who := fmt.Sprintf("rank %d", e.By)
	if e.By == NoRank {
		who = "supervisor"
	}
	if e.Kind != nil {
		return fmt.Sprintf("%v by %s: %v: %s", ErrAborted, who, e.Kind, e.Reason)
	}
	return fmt.Sprintf("%v by %s: %s", ErrAborted, who, e.Reason)
}

// Unwrap lists ErrAborted, the kind and the cause.
func (e *AbortError) Unwrap() []error {
	errs := []error{ErrAborted}
	if e.Kind != nil {
		errs = append(errs, e.Kind)
	}
	if e.Cause != nil {
		errs = append(errs, e.Cause)
	}
	return errs
}
