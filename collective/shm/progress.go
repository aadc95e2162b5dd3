package shm

import (
	"context"
	"fmt"
	"time"

	"github.com/espalier-ml/espalier/collective"
)

// progress carries out operations in the background until Close.
func (c *Comm) progress() {
	defer close(c.done)
	for c.awaitWork() {
		c.exec.Lock()
		c.drain(^uint64(0))
		c.exec.Unlock()
	}
}

// awaitWork blocks until there is work to do and reports true, or until the
// communicator is closing and reports false.
func (c *Comm) awaitWork() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		if c.failed == nil && !c.queue.empty() {
			return true
		}
		if c.closing {
			return false
		}
		c.work.Wait()
	}
}

// drain carries out operations up to a token. c.exec is held.
func (c *Comm) drain(token uint64) {
	for {
		c.mu.Lock()
		if c.queue.empty() || c.queue.head > token || c.failed != nil {
			c.mu.Unlock()
			return
		}
		c.cur = *c.queue.at(c.queue.head)
		c.mu.Unlock()
		c.complete(c.carryOut(&c.cur))
		c.cur = queued{}
	}
}

// carryOut runs one operation, watched by the observer. If it fails, so does
// the whole group.
func (c *Comm) carryOut(q *queued) error {
	var e collective.Event
	if c.observe != nil {
		e = collective.Event{Kind: q.call.Kind, Meta: q.call.Meta, Bytes: q.call.In.Size(), Start: time.Now()}
	}
	err := c.run(q)
	if _, ended := err.(*collective.AbortError); err != nil && !ended {
		c.ctl.end(c.info.Rank, codeOther, err.Error())
		err = c.ctl.ended()
	}
	if c.observe != nil {
		e.Err, e.End = err, time.Now()
		c.observe(e)
	}
	return err
}

// complete takes the oldest operation off the queue, or, if it failed, leaves
// it and all others there to be found by Wait.
func (c *Comm) complete(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		c.failed = c.withCause(err)
	} else {
		c.completed.Store(c.queue.head)
		c.queue.pop()
	}
	for _, w := range c.waiters {
		if err != nil || w.token <= c.completed.Load() {
			select {
			case w.wake <- struct{}{}:
			default:
			}
		}
	}
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

// Wait implements collective.Pending. A caller that cannot be interrupted
// carries the operations out itself if nobody else does, which saves waking
// the progress goroutine.
func (c *Comm) Wait(ctx context.Context, token uint64) error {
	if c.completed.Load() >= token {
		return nil
	}
	if ctx.Done() == nil && c.exec.TryLock() {
		c.drain(token)
		c.exec.Unlock()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.completed.Load() < token {
		if c.failed != nil {
			return c.fail(token, c.failed)
		}
		if err := c.sleep(ctx, token); err != nil {
			return err
		}
	}
	return nil
}

// sleep waits for a sign that the token may be complete. c.mu is held, but
// not meanwhile.
func (c *Comm) sleep(ctx context.Context, token uint64) error {
	w := c.register(token)
	defer c.unregister(w)
	c.mu.Unlock()
	select {
	case <-w.wake:
		c.mu.Lock()
		return nil
	case <-ctx.Done():
		c.mu.Lock()
		if c.completed.Load() >= token {
			return nil
		}
		return c.fail(token, fmt.Errorf("still in progress: %w", context.Cause(ctx)))
	}
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
		}
	}
	select {
	case <-w.wake:
	default:
	}
	c.idle = append(c.idle, w)
}

// fail is the error of an operation in the queue. c.mu is held.
func (c *Comm) fail(token uint64, err error) error {
	if token < c.queue.head || token >= c.queue.tail {
		return err
	}
	return c.queue.at(token).call.Fail(c.info, err)
}
