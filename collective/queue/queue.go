// Package queue holds the operations of a communicator that were issued and
// are not complete, and those who wait for them: the half of a transport that
// looks to the caller. It is collective.Pending.
//
// Operations are numbered from 1, their tokens, and complete in that order.
// Nothing is allocated once the queue has been as long as it gets and as many
// goroutines have waited at a time as ever will.
//
// What it leaves to the transport: the lock that guards it, together with
// whatever else issuing, waiting and ending share; carrying operations out;
// and whether one may still be issued.
//
//	q := queue.New[*region](&c.mu, info)
//	token := q.Push(&call, nil)    // c.mu is held
//	work := collective.NewWork(q, token)
//	...
//	token, op := q.Oldest()
//	run(op)
//	q.Complete()                   // or q.Fail(err)
package queue

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/espalier-ml/espalier/collective"
)

// Op is an operation, and what the transport keeps with it.
type Op[T any] struct {
	Call collective.Call
	With T
}

// Queue is a queue of operations. Its methods are called with the lock held,
// but for those that say otherwise.
type Queue[T any] struct {
	mu        *sync.Mutex
	info      collective.Info
	ops       Ring[Op[T]]
	waiters   []*waiter
	idle      []*waiter // for reuse
	failed    error     // why the oldest and all after it fail
	completed atomic.Uint64
}

// waiter is a goroutine in Wait.
type waiter struct {
	token uint64
	wake  chan struct{} // buffered
}

// New makes a queue guarded by mu. info is for errors.
func New[T any](mu *sync.Mutex, info collective.Info) *Queue[T] {
	return &Queue[T]{mu: mu, info: info, ops: NewRing[Op[T]](64)}
}

// Push adds an operation and returns its token.
func (q *Queue[T]) Push(call *collective.Call, with T) uint64 {
	return q.ops.Push(Op[T]{*call, with})
}

// Issued is the token of the operation that was pushed last.
func (q *Queue[T]) Issued() uint64 { return q.ops.tail - 1 }

// Oldest is the oldest operation that is not complete; nil if there is none.
// It stays where it is until it is complete or others are pushed.
func (q *Queue[T]) Oldest() (token uint64, op *Op[T]) {
	if q.ops.Empty() {
		return 0, nil
	}
	return q.ops.head, q.ops.at(q.ops.head)
}

// Complete takes the oldest operation off and wakes who waits for it.
func (q *Queue[T]) Complete() {
	token := q.ops.head
	q.ops.drop()
	q.completed.Store(token)
	q.wake(token)
}

// Fail says that no operation completes any more, and why. The transport has
// let go of all buffers.
func (q *Queue[T]) Fail(err error) {
	q.failed = err
	q.wake(^uint64(0))
}

// Failed is the error of Fail, nil before.
func (q *Queue[T]) Failed() error { return q.failed }

// Completed is the token up to which operations are complete. The lock need
// not be held.
func (q *Queue[T]) Completed() uint64 { return q.completed.Load() }

// Done implements collective.Pending. The lock is not held.
func (q *Queue[T]) Done(token uint64) bool {
	if q.completed.Load() >= token {
		return true
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.completed.Load() >= token || q.failed != nil
}

// Wait implements collective.Pending. The lock is not held.
func (q *Queue[T]) Wait(ctx context.Context, token uint64) error {
	if q.completed.Load() >= token {
		return nil
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.completed.Load() < token {
		if q.failed != nil {
			return q.failure(token, q.failed)
		}
		if err := q.sleep(ctx, token); err != nil {
			return err
		}
	}
	return nil
}

// sleep waits for a sign that the token may be complete, without the lock.
func (q *Queue[T]) sleep(ctx context.Context, token uint64) error {
	w := q.register(token)
	defer q.unregister(w)
	q.mu.Unlock()
	select {
	case <-w.wake:
		q.mu.Lock()
		return nil
	case <-ctx.Done():
		q.mu.Lock()
		if q.completed.Load() >= token || q.failed != nil {
			return nil
		}
		return q.failure(token, fmt.Errorf("still in progress: %w", context.Cause(ctx)))
	}
}

func (q *Queue[T]) register(token uint64) *waiter {
	var w *waiter
	if n := len(q.idle); n > 0 {
		w, q.idle = q.idle[n-1], q.idle[:n-1]
	} else {
		w = &waiter{wake: make(chan struct{}, 1)}
	}
	w.token = token
	q.waiters = append(q.waiters, w)
	return w
}

func (q *Queue[T]) unregister(w *waiter) {
	for i, other := range q.waiters {
		if other == w {
			last := len(q.waiters) - 1
			q.waiters[i] = q.waiters[last]
			q.waiters = q.waiters[:last]
			break
		}
	}
	select {
	case <-w.wake:
	default:
	}
	q.idle = append(q.idle, w)
}

// wake wakes the waiters up to a token.
func (q *Queue[T]) wake(token uint64) {
	for _, w := range q.waiters {
		if w.token <= token {
			select {
			case w.wake <- struct{}{}:
			default:
			}
		}
	}
}

// failure is err as that of an operation in the queue.
func (q *Queue[T]) failure(token uint64, err error) error {
	if token < q.ops.head || token >= q.ops.tail {
		return err
	}
	return q.ops.at(token).Call.Fail(q.info, err)
}
