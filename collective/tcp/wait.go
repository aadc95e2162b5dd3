package tcp

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/espalier-ml/espalier/collective"
)

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

// fail is the error of an operation in the queue. c.mu is held.
func (c *Comm) fail(token uint64, err error) error {
	if token < c.queue.head || token >= c.queue.tail {
		return err
	}
	return c.queue.at(token).call.Fail(c.info, err)
}

// gate is where receivers wait for what this rank has still to do: begin the
// operation, combine a segment, send one. Whoever did it knocks.
type gate struct {
	mu      sync.Mutex
	cond    sync.Cond
	waiting atomic.Int32
}

// knock lets all who wait look again.
func (g *gate) knock() {
	if g.waiting.Load() > 0 {
		g.mu.Lock()
		g.cond.Broadcast()
		g.mu.Unlock()
	}
}

// enter and leave surround a loop of looks and g.cond.Wait.
func (g *gate) enter() {
	g.mu.Lock()
	g.waiting.Add(1)
}

func (g *gate) leave() {
	g.waiting.Add(-1)
	g.mu.Unlock()
}

// await waits until flag is set. It reports false if the group is dead.
func (c *Comm) await(flag *atomic.Bool) bool {
	if flag.Load() {
		return true
	}
	c.gate.enter()
	defer c.gate.leave()
	for !flag.Load() {
		if c.dead.Load() {
			return false
		}
		c.gate.cond.Wait()
	}
	return true
}

// awaitOp waits until the operation of a frame has begun here.
func (c *Comm) awaitOp(op uint32) error {
	if uint32(c.begun.Load()) != op {
		c.gate.enter()
		defer c.gate.leave()
		for uint32(c.begun.Load()) != op {
			if c.dead.Load() {
				return errDead
			}
			if b := c.begun.Load(); op != uint32(b+1) {
				return fmt.Errorf("%w: of operation %d, while %d is under way", errCorrupt, op, uint32(b))
			}
			c.gate.cond.Wait()
		}
	}
	if c.completed.Load() == c.begun.Load() {
		return fmt.Errorf("%w: of operation %d, which is complete", errCorrupt, op)
	}
	return nil
}

var _ collective.Pending = (*Comm)(nil)
