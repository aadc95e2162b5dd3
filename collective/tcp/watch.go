package tcp

import (
	"fmt"
	"slices"
	"time"

	"github.com/espalier-ml/espalier/collective"
)

// watchman holds the times of watch in ticks of its clock.
type watchman struct {
	tick    time.Duration
	beat    uint32 // between heartbeats
	silence uint32 // 0 for never
	timeout uint32
	doubt   uint32 // before ranks that disagree are named without waiting for others
	odd     uint32 // before a frame that does not fit is blamed on its link, if no ranks disagree
	broken  uint32 // before a lost data link counts, if the control link says nothing
	drain   uint32
}

func newWatchman(o *Options) watchman {
	w := watchman{tick: min(max(min(o.Heartbeat/4, o.Timeout/8), time.Millisecond), 50*time.Millisecond)}
	n := func(d time.Duration) uint32 { return uint32(max(1, min((d+w.tick-1)/w.tick, 1<<30))) }
	w.beat, w.timeout, w.drain = n(o.Heartbeat), n(o.Timeout), n(drainTime)
	w.doubt, w.odd, w.broken = n(300*time.Millisecond), n(2*time.Second), n(100*time.Millisecond)
	if o.Silence > 0 {
		w.silence = n(o.Silence)
	}
	return w
}

// watch is the goroutine that sees to all that depends on time.
func (c *Comm) watch() {
	w := newWatchman(&c.o)
	ticker := time.NewTicker(w.tick)
	defer ticker.Stop()
	last := time.Now()
	for {
		select {
		case <-c.stop:
			return
		case now := <-ticker.C:
			t := c.clock.Add(1)
			if now.Sub(last) > 3*c.o.Heartbeat {
				c.forgive(t) // it was this process that paused
			}
			last = now
			if t%w.beat == 0 {
				c.beat()
			}
			c.inspect(&w, t)
		}
	}
}

// forgive starts all waits anew.
func (c *Comm) forgive(t uint32) {
	c.cur.alive.Store(t)
	for _, p := range c.peers {
		if p != nil {
			p.heard.Store(t)
		}
	}
}

func (c *Comm) beat() {
	for _, p := range c.peers {
		if p != nil {
			for _, l := range p.links {
				l.beat()
			}
		}
	}
}

// inspect ends the group if somebody is silent, late or out of step.
func (c *Comm) inspect(w *watchman, t uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	deadline := func(missing []collective.Rank, format string, args ...any) {
		c.condemn(&collective.AbortError{By: c.info.Rank, Kind: collective.ErrDeadline, Missing: missing, Reason: fmt.Sprintf(format, args...)}, 0)
	}
	if c.verdict != nil {
		if t-c.condemned > w.drain {
			c.condemn(c.verdict, 0)
		}
		return
	}
	for _, p := range c.peers {
		switch {
		case p == nil || p.left:
		case w.silence > 0 && t-p.heard.Load() > w.silence:
			deadline([]collective.Rank{p.rank}, "no sign of life from rank %d for %v", p.rank, c.o.Silence)
		case p.broken != "" && t-p.brokenAt > w.broken:
			c.condemn(&collective.AbortError{By: c.info.Rank, Reason: p.broken}, 0)
		}
	}
	if !c.running {
		return
	}
	if c.doubted != 0 && t-c.doubted > w.doubt {
		c.accuse(t-c.doubted > w.odd)
	}
	if t-c.cur.alive.Load() > w.timeout {
		missing := c.missing()
		deadline(missing, "waited %v for ranks %v in %v", c.o.Timeout, missing, &c.cur.sig)
	}
}

// confirm returns those of the missing ranks of another rank's verdict that
// this rank misses as well: it has not heard from them for half the time after
// which it would say so itself. A rank that is gone has not come to its own
// defence; who closed its connection needs no second witness. c.mu is held.
func (c *Comm) confirm(e *collective.AbortError) (missing []collective.Rank) {
	w, t := newWatchman(&c.o), c.clock.Load()
	late := c.running && t-c.cur.alive.Load() > w.timeout/2
	var from []collective.Rank
	if late {
		from = c.missing()
	}
	for _, r := range e.Missing {
		p := c.peers[r]
		switch {
		case p == nil: // this one
		case e.By == r, slices.Contains(from, r), w.silence > 0 && t-p.heard.Load() > w.silence/2:
			missing = append(missing, r)
		}
	}
	return missing
}

// accuse names ranks that disagree, without waiting for the rest, or at last
// the link of a frame that does not fit. c.mu is held.
func (c *Comm) accuse(last bool) {
	from := c.box(c.begun.Load()).from
	if text := disagreement(from); text != "" {
		c.condemn(&collective.AbortError{By: c.info.Rank, Kind: collective.ErrDesync, Reason: text}, 0)
	} else if last && c.odd != "" {
		c.condemn(&collective.AbortError{By: c.info.Rank, Reason: c.odd}, 0)
	}
}

// missing lists the ranks that the current operation waits for: those that
// have not begun it, or else those whose data is not here. c.mu is held.
func (c *Comm) missing() []collective.Rank {
	var late, slow []collective.Rank
	o, me := &c.cur, int(c.info.Rank)
	for r, l := range c.box(c.begun.Load()).from {
		if r == me {
			continue
		}
		if !l.here {
			late = append(late, collective.Rank(r))
		}
		if o.owes(r) {
			slow = append(slow, collective.Rank(r))
		}
	}
	if len(late) > 0 {
		return late
	}
	return slow
}

// owes reports whether data of a rank is missing.
func (o *op) owes(r int) bool {
	if o.short {
		return false
	}
	if o.circles {
		return r == o.prev()
	}
	if o.scatterFrom.has(r) {
		for s := range o.plan.segments(int(o.c.info.Rank)) {
			if o.parts[s].Load()>>r&1 == 0 {
				return true
			}
		}
	}
	if o.gatherFrom.has(r) {
		for s := range o.back.segments(o.part(r)) {
			if o.got[o.back.number(o.part(r), s)].Load()&gotResult == 0 {
				return true
			}
		}
	}
	return false
}
