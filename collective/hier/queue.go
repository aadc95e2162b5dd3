package hier

import (
	"context"
	"fmt"

	"github.com/espalier-ml/espalier/collective"
)

// queued is an operation that was issued and is not complete.
type queued struct {
	call   collective.Call
	region *region // of alloc and free
}

// queue is a ring of operations that grows when it is full and so settles at
// the largest number ever in flight. Tokens count operations from 1.
type queue struct {
	ring []queued
	head uint64 // token of the oldest operation
	tail uint64 // token of the next to be issued
}

func newQueue() queue { return queue{ring: make([]queued, 64), head: 1, tail: 1} }

func (q *queue) empty() bool { return q.head == q.tail }

// at is the operation of a token in [head, tail).
func (q *queue) at(token uint64) *queued { return &q.ring[token%uint64(len(q.ring))] }

func (q *queue) push(call *collective.Call, r *region) uint64 {
	if q.tail-q.head == uint64(len(q.ring)) {
		bigger := queue{ring: make([]queued, 2*len(q.ring)), head: q.head, tail: q.tail}
		for t := q.head; t < q.tail; t++ {
			*bigger.at(t) = *q.at(t)
		}
		*q = bigger
	}
	*q.at(q.tail) = queued{*call, r}
	q.tail++
	return q.tail - 1
}

func (q *queue) pop() {
	*q.at(q.head) = queued{} // lets go of the buffers
	q.head++
}

// waiter is a goroutine in Wait.
type waiter struct {
	token uint64
	wake  chan struct{} // buffered
}

// Done implements collective.Pending.
func (c *Comm) Done(token uint64) bool {
	if c.completed.Load() >= token {
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.failed != nil
}

// Wait implements collective.Pending.
func (c *Comm) Wait(ctx context.Context, token uint64) error {
	if c.completed.Load() >= token {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.completed.Load() < token {
		if c.failed != nil {
			return c.errorOf(token, c.failed)
		}
		w := c.register(token)
		c.mu.Unlock()
		var err error
		select {
		case <-w.wake:
		case <-ctx.Done():
			err = fmt.Errorf("still in progress: %w", context.Cause(ctx))
		}
		c.mu.Lock()
		c.unregister(w)
		if err != nil && c.completed.Load() < token && c.failed == nil {
			return c.errorOf(token, err)
		}
	}
	return nil
}

func (c *Comm) register(token uint64) *waiter {
	var w *waiter
	if n := len(c.idle); n > 0 {
		w, c.idle = c.idle[n-1], c.idle[:n-1]
	} else {
		w = &waiter{wake: make(chan struct{}, 1)}
	}
	w.token = token
	c.waiters = append(c.waiters, w)
	return w
}

func (c *Comm) unregister(w *waiter) {
	for i, other := range c.waiters {
		if other == w {
			last := len(c.waiters) - 1
			c.waiters[i] = c.waiters[last]
			c.waiters = c.waiters[:last]
			break
		}
	}
	select {
	case <-w.wake:
	default:
	}
	c.idle = append(c.idle, w)
}

// wake wakes the waiters up to a token. c.mu is held.
func (c *Comm) wake(token uint64) {
	for _, w := range c.waiters {
		if w.token <= token {
			select {
			case w.wake <- struct{}{}:
			default:
			}
		}
	}
}

// errorOf is the error of an operation in the queue. c.mu is held.
func (c *Comm) errorOf(token uint64, err error) error {
	if token < c.queue.head || token >= c.queue.tail {
		return err
	}
	return c.queue.at(token).call.Fail(c.info, err)
}
