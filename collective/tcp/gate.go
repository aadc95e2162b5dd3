package tcp

import (
	"fmt"
	"sync"
	"sync/atomic"
)

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
	if c.queue.Completed() == c.begun.Load() {
		return fmt.Errorf("%w: of operation %d, which is complete", errCorrupt, op)
	}
	return nil
}
