package tcp

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"time"

	"go.uber.org/zap"

	"github.com/espalier-ml/espalier/collective"
)

// How a group ends. A verdict says why. It may have to wait until the
// operations that every rank has begun are complete here (upTo). Then the
// comm is dead: data links are closed, which takes their goroutines out of
// the callers' buffers; only then do Waits return. Control links last until
// the peers know.

const (
	drainTime  = time.Second            // for operations that others have completed
	abortGrace = 250 * time.Millisecond // for peers to take the reason
	byeGrace   = time.Second            // for peers to acknowledge a bye
)

// end makes e the reason why the group ends, if it is the first, once the
// operations up to a token are complete.
func (c *Comm) end(e *collective.AbortError, upTo uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.condemn(e, upTo)
}

// condemn is end with c.mu held.
func (c *Comm) condemn(e *collective.AbortError, upTo uint64) {
	upTo = min(upTo, c.begun.Load())
	if c.verdict == nil {
		c.verdict, c.upTo, c.condemned = e, upTo, c.clock.Load()
	}
	c.upTo = min(c.upTo, upTo)
	if c.queue.Completed() >= c.upTo {
		c.bury()
	}
}

// bury makes the comm dead. c.mu is held.
func (c *Comm) bury() {
	if c.dead.Swap(true) {
		return
	}
	c.gate.knock()
	close(c.stop)
	go c.reap(c.queue.Completed(), c.quiet)
}

// reap tells the peers, waits until nothing touches buffers, fails what is
// pending, and sees all goroutines off.
func (c *Comm) reap(completed uint64, quiet bool) {
	for _, p := range c.peers {
		if p == nil {
			continue
		}
		if control := p.links[0]; !quiet {
			b := putAbort(make([]byte, headerBytes), c.verdict, completed)
			control.post(header{kind: frameAbort}, b, checksum(b[headerBytes:]))
			control.conn.SetDeadline(time.Now().Add(abortGrace))
		}
		for _, l := range p.links {
			l.finish()
			if l.index > 0 || quiet {
				l.close()
			}
		}
	}
	c.movers.Wait()
	c.exec.Lock() // whoever launched or met an operation is out of it
	c.exec.Unlock()
	c.publish()
	c.talkers.Wait() // until the peers hang up as well, or the deadline
	for _, p := range c.peers {
		if p != nil {
			p.links[0].close()
		}
	}
	c.watchers.Wait()
	close(c.gone)
}

// publish fails the operations that are not complete.
func (c *Comm) publish() {
	c.mu.Lock()
	failed := c.running && !c.finishing
	err := c.verdict
	c.mu.Unlock()
	if failed {
		c.observe(&c.cur, err)
	}
	c.mu.Lock()
	c.queue.Fail(err)
	c.mu.Unlock()
	if c.verdict.Kind != collective.ErrClosed {
		c.o.Log.Warn("group ended", zap.Int("rank", int(c.info.Rank)), zap.Uint64("gen", c.info.Gen.N), zap.Error(c.verdict))
	}
}

// lost takes the error with which a goroutine of a link ends.
func (c *Comm) lost(l *link, err error) {
	if err == nil || c.dead.Load() || errors.Is(err, errDead) {
		return
	}
	p := l.peer
	reason := fmt.Sprintf("%v: %v", l, gist(err))
	if errors.Is(err, errCorrupt) || errors.Is(err, errForeign) {
		c.end(&collective.AbortError{By: c.info.Rank, Reason: reason}, 0)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case p.left:
	case l.index == 0:
		p.left = true
		c.notice()
		if c.closing && !c.running { // it closed at the same time
			return
		}
		c.condemn(&collective.AbortError{By: p.rank, Missing: []collective.Rank{p.rank}, Reason: fmt.Sprintf("rank %d is gone: %v", p.rank, gist(err))}, 0)
	case p.broken == "": // the control link may yet say why
		p.broken, p.brokenAt = reason, c.clock.Load()
	}
}

// gist leaves the addresses out of a network error.
func gist(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Err
	}
	return err
}

// notice tells Close that a peer has heard its bye, or left.
func (c *Comm) notice() {
	select {
	case c.farewells <- struct{}{}:
	default:
	}
}

// Close implements collective.Comm. It waits for the peers' transports, not
// the peers themselves, to acknowledge that this rank leaves, for a second at
// the most.
func (c *Comm) Close(ctx context.Context) error {
	c.mu.Lock()
	if c.closing {
		c.mu.Unlock()
		<-c.gone
		return nil
	}
	c.closing = true
	last := c.queue.Issued()
	c.mu.Unlock()

	err := c.queue.Wait(ctx, last)
	if err != nil && !errors.Is(err, collective.ErrAborted) {
		c.end(&collective.AbortError{By: c.info.Rank, Kind: collective.ErrClosed, Reason: fmt.Sprintf("rank %d closed while operations were pending", c.info.Rank)}, 0)
	} else {
		c.takeLeave(ctx)
		c.mu.Lock()
		c.quiet = c.verdict == nil
		c.condemn(closedBy(c.info.Rank), 0)
		c.mu.Unlock()
	}
	<-c.gone
	c.mu.Lock()
	defer c.mu.Unlock()
	c.queue.Fail(closedBy(c.info.Rank))
	for _, r := range c.regions {
		if r != nil {
			r.release()
		}
	}
	c.regions = nil
	if err != nil {
		return fmt.Errorf("close: %w", err)
	}
	return nil
}

// takeLeave says bye to all peers and waits until they know.
func (c *Comm) takeLeave(ctx context.Context) {
	limit := time.NewTimer(byeGrace)
	defer limit.Stop()
	for _, p := range c.peers {
		if p != nil && !c.dead.Load() {
			b := binary.LittleEndian.AppendUint64(make([]byte, headerBytes), c.queue.Completed())
			p.links[0].post(header{kind: frameBye}, b, checksum(b[headerBytes:]))
		}
	}
	for !c.allKnow() {
		select {
		case <-c.farewells:
		case <-limit.C:
			return
		case <-ctx.Done():
			return
		case <-c.stop:
			return
		}
	}
}

func (c *Comm) allKnow() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, p := range c.peers {
		if p != nil && !p.left && !p.heardBye {
			return false
		}
	}
	return true
}
