package sim

import (
	"fmt"
	"time"

	"github.com/espalier-ml/espalier/cluster"
	"github.com/espalier-ml/espalier/cluster/gen"
)

// checker holds the invariants of a run against all that happens.
type checker struct {
	w     *world
	found []string

	ref     []state // the state after each step, of a run without faults
	top     uint64  // newest step committed anywhere
	lastN   uint64  // newest generation that committed a step, or was formed
	commitN uint64  // newest generation that committed a step
	begins  uint64  // and the first step that it committed
	falsely int

	head     *gen.Record               // as the store has it
	chains   map[uint64]cluster.Digest // of each generation that a node has kept
	steps    map[cluster.NodeID]announced
	formed   map[cluster.NodeID]uint64 // newest generation each node was ordered into
	sent     map[uint64]uint64         // newest step that a member contributed to, while no newer generation had done one
	history  map[cluster.NodeID]cluster.Digest
	parents  map[cluster.Digest]cluster.Digest
	finished bool
}

type announced struct {
	step uint64
	boot string
	at   time.Duration
	off  bool // leaving or done
}

func (c *checker) init() {
	c.ref = []state{{}}
	c.chains = make(map[uint64]cluster.Digest)
	c.steps = make(map[cluster.NodeID]announced)
	c.formed = make(map[cluster.NodeID]uint64)
	c.sent = make(map[uint64]uint64)
	c.history = make(map[cluster.NodeID]cluster.Digest)
	c.parents = make(map[cluster.Digest]cluster.Digest)
}

func (c *checker) fail(format string, args ...any) {
	s := fmt.Sprintf(format, args...)
	c.w.logf("VIOLATION %s", s)
	c.found = append(c.found, fmt.Sprintf("%.3f s: %s", c.w.now.Seconds(), s))
}

func (c *checker) wiped() {
	c.head = nil
	c.steps = make(map[cluster.NodeID]announced)
}

// written checks a value that the store took.
func (c *checker) written(e cluster.Entry) {
	switch {
	case e.Key == gen.KeyHead:
		r, err := gen.ParseRecord(e.Value)
		if err != nil {
			c.fail("the head cannot be read: %v", err)
			return
		}
		c.headWritten(r)
		c.head = r
	case len(e.Key) > 5 && e.Key[:5] == "node.":
		var a gen.Announcement
		if err := parse(e.Value, &a); err != nil {
			c.fail("%s cannot be read: %v", e.Key, err)
			return
		}
		c.steps[a.ID] = announced{a.Step, a.Boot, c.w.now, a.Leaving || a.Done}
	}
}

// headWritten: I1. One record for each n, a linear chain, n and term never fall.
func (c *checker) headWritten(r *gen.Record) {
	old := c.head
	c.parents[r.Chain()] = r.Prev
	c.w.logf("store: generation %d %s term %d by %s, %s: %s", r.N, r.Phase, r.Term, r.By, members(r), r.Cause)
	switch {
	case old == nil:
		if r.N != 1 && !r.Restored {
			c.fail("I1: the first record of an empty store is %d", r.N)
		}
	case r.Term < old.Term:
		c.fail("I1: the term falls from %d (%s) to %d (%s)", old.Term, old.By, r.Term, r.By)
	case r.N < old.N:
		c.fail("I1: generation %d follows on %d", r.N, old.N)
	case r.N == old.N && r.Chain() != old.Chain():
		c.fail("I1: generation %d is written twice, by %s and %s", r.N, old.By, r.By)
	case r.N == old.N && rank(r.Phase) < rank(old.Phase):
		c.fail("I1: generation %d goes from %s to %s", r.N, old.Phase, r.Phase)
	case r.N > old.N && old.Phase == gen.Done && !r.Restored:
		c.fail("I1: generation %d after the end", r.N)
	case r.N > old.N && !r.Restored && (r.N != old.N+1 || r.Prev != old.Chain()):
		c.fail("I1: generation %d does not follow on %d", r.N, old.N)
	}
	if old == nil || r.N > old.N {
		c.lastN = max(c.lastN, r.N)
		c.newest(r)
		c.fair(r)
	}
	if r.Phase == gen.Done {
		c.finished = true
	}
}

func rank(p gen.Phase) int {
	return map[gen.Phase]int{gen.Forming: 0, gen.Running: 1, gen.Draining: 2, gen.Done: 3}[p]
}

// newest: no group is formed from a state older than one that a living node
// outside it has announced for a while.
func (c *checker) newest(r *gen.Record) {
	if r.Restored || c.w.sched.Harsh {
		return
	}
	var best uint64
	for _, x := range r.Nodes {
		best = max(best, c.steps[x.ID].step)
	}
	for _, p := range c.w.nodes {
		a, ok := c.steps[p.id]
		if !ok || !p.up || p.paused || a.off || a.boot != p.bootID || p.agent.done {
			continue
		}
		leader := int(r.By[0] - 'a')
		if s := c.w.net.said[leader][p.index]; leader != p.index && (s.health != cluster.Alive || s.boot != a.boot || c.w.now-s.at < 200*time.Millisecond) || c.w.now-a.at < time.Second {
			continue // the leader may not know it, or not know it to be alive
		}
		if a.step > best+1 {
			c.fail("generation %d starts from step %d while %s holds %d", r.N, best, p.id, a.step)
		}
	}
}

// fair counts nodes that were left out though nothing happened to them.
func (c *checker) fair(r *gen.Record) {
	for _, k := range r.Marks {
		if k.Out && k.N == r.N {
			c.w.logf("store: %s is left out: %s", k.Node, k.Why)
			p := c.w.nodes[k.Node[0]-'a']
			if p.up && !p.paused && p.quiet == 0 && p.calm == 0 && p.bootID == k.Boot {
				c.falsely++
				c.w.logf("store: and nothing had happened to it")
			}
		}
	}
}

// kept: I1, over restarts. What a node has on its disk is one history.
func (c *checker) kept(p *proc, m gen.Memory) {
	if c.w.sched.Harsh {
		return
	}
	if old, ok := c.chains[m.N]; ok && old != m.Chain {
		c.fail("I1: two records of generation %d, the second kept by %s", m.N, p.id)
	}
	c.chains[m.N] = m.Chain
}

// ordered: a node never goes back, and is sent away only for a reason.
func (c *checker) ordered(p *proc, o cluster.Order) {
	switch o.Kind {
	case cluster.Form:
		if o.N <= c.formed[p.id] {
			c.fail("I1: %s is ordered into generation %d after %d", p.id, o.N, c.formed[p.id])
		}
		if o.Generation.Chain != p.memory.Chain && c.w.broken.Rules&gen.RuleMax == 0 {
			c.fail("I1: %s is ordered into generation %d without having kept it", p.id, o.N)
		}
		at := o.Generation.Chain
		for at != c.history[p.id] && at != (cluster.Digest{}) {
			at = c.parents[at]
		}
		if at != c.history[p.id] {
			c.fail("I1: %s is ordered into generation %d, which does not follow on the last it took part in, %d", p.id, o.N, c.formed[p.id])
		}
		c.formed[p.id], c.history[p.id] = o.N, o.Generation.Chain
	case cluster.Excluded:
		if !c.w.sched.Harsh {
			c.fail("%s is excluded: %s", p.id, o.Cause)
		}
	}
}

// contributed notes that a member has sent its part of a step.
func (c *checker) contributed(n, step uint64) {
	if n >= c.commitN {
		c.sent[n] = max(c.sent[n], step)
	}
}

// committed: I2 to I5.
func (c *checker) committed(p *proc, n uint64, s state) {
	// A node that was paused may still do the steps that the others had
	// contributed to before. More of them and two generations train at a time.
	if n < c.commitN && s.step > c.sent[n] && !c.w.sched.Harsh {
		c.fail("I2: %s goes on with step %d in generation %d after one was done in %d", p.id, s.step, n, c.commitN)
	}
	c.commitN = max(c.commitN, n)
	c.holds(p, s)
	c.top = max(c.top, s.step)
	for _, q := range c.w.nodes {
		if q == p || !q.up || q.agent.n != n || q.agent.chain != p.agent.chain || !q.agent.synced {
			continue
		}
		if d := int64(q.agent.state.step) - int64(s.step); d < -1 || d > 1 {
			c.fail("I3: in generation %d %s is at step %d and %s at %d", n, p.id, s.step, q.id, q.agent.state.step)
		}
	}
}

// holds: I4 and I5. State and samples are those of the run without faults.
func (c *checker) holds(p *proc, s state) {
	for uint64(len(c.ref)) <= s.step {
		c.ref = append(c.ref, c.ref[len(c.ref)-1].next())
	}
	if s != c.ref[s.step] {
		c.fail("I4: %s at step %d has digest %x after %d samples, want %x after %d", p.id, s.step, s.digest, s.cursor, c.ref[s.step].digest, c.ref[s.step].cursor)
	}
}

// complete reports that the job is done and all have been told.
func (c *checker) complete() bool {
	if !c.finished {
		return false
	}
	for _, p := range c.w.nodes {
		if p.up && !p.machine.Ended() {
			return false
		}
	}
	return true
}

// atEnd: I7. The faults are over for long; the job must be done.
func (c *checker) atEnd() {
	if len(c.found) > 0 || c.w.sched.Harsh {
		return
	}
	if !c.finished {
		c.fail("I7: the job is not done: step %d of %d, generation %d; %s", c.top, c.w.sched.Steps, c.lastN, c.w.views())
	}
}
