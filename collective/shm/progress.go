package shm

import (
	"context"
	"time"

	"github.com/espalier-ml/espalier/collective"
	"github.com/espalier-ml/espalier/collective/queue"
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
		if _, op := c.queue.Oldest(); op != nil && c.queue.Failed() == nil {
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
		oldest, op := c.queue.Oldest()
		if op == nil || oldest > token || c.queue.Failed() != nil {
			c.mu.Unlock()
			return
		}
		c.cur = *op
		c.mu.Unlock()
		c.complete(c.carryOut(&c.cur))
		c.cur = queue.Op[*region]{}
	}
}

// carryOut runs one operation, watched by the observer. If it fails, so does
// the whole group.
func (c *Comm) carryOut(op *queue.Op[*region]) error {
	var e collective.Event
	if c.observe != nil {
		e = collective.Event{Kind: op.Call.Kind, Meta: op.Call.Meta, Bytes: op.Call.In.Size(), Start: time.Now()}
	}
	err := c.run(op)
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
		c.queue.Fail(c.withCause(err))
	} else {
		c.queue.Complete()
	}
}

// Done implements collective.Pending.
func (c *Comm) Done(token uint64) bool { return c.queue.Done(token) }

// Wait implements collective.Pending. A caller that cannot be interrupted
// carries the operations out itself if nobody else does, which saves waking
// the progress goroutine.
func (c *Comm) Wait(ctx context.Context, token uint64) error {
	if ctx.Done() == nil && c.queue.Completed() < token && c.exec.TryLock() {
		c.drain(token)
		c.exec.Unlock()
	}
	return c.queue.Wait(ctx, token)
}
