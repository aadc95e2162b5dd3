package gen

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/espalier-ml/espalier/cluster"
)

// choice is who forms the next generation, or why it cannot be formed yet.
type choice struct {
	nodes   []cluster.Node
	marks   []Mark
	open    []Group
	waiting string
	retry   time.Duration // when to look again, 0: when something happens
	over    bool          // nobody is left who could complete the job sooner than it was completed
}

func wait(format string, args ...any) choice { return choice{waiting: fmt.Sprintf(format, args...)} }

// choose picks the members of the generation after h. If it cannot do without
// those that are to be left out, it tries once more with those of them that
// are alive.
func (m *Machine) choose(h *Record) choice {
	if w := m.accounted(h); w != "" {
		return wait("%s", w)
	}
	marks := m.judge(h)
	c := m.choosing(h, marks)
	if c.waiting == "" || h == nil {
		return c
	}
	reprieved := false
	marks = slices.Clone(marks)
	for i := range marks {
		k := &marks[i]
		if k.Out && k.N == h.N+1 && h.has(k.Node, k.Boot) && !m.gone(k.Node, k.Boot) {
			k.Out, reprieved = false, true
		}
	}
	if !reprieved {
		return c
	}
	if again := m.choosing(h, marks); again.waiting == "" {
		return again
	}
	return c
}

func (m *Machine) choosing(h *Record, marks []Mark) choice {
	blocked := func(id cluster.NodeID, boot string) bool {
		return slices.ContainsFunc(marks, func(k Mark) bool { return k.Node == id && k.Boot == boot && k.Out })
	}
	var in []cluster.Node
	if h != nil { // survivors keep their order
		for i := range h.Nodes {
			x := &h.Nodes[i]
			k := m.nodes[x.ID]
			if k == nil || k.ann == nil || k.ann.Boot != x.Boot || m.candidate(h, k) != "" || blocked(x.ID, x.Boot) {
				continue
			}
			in = append(in, k.ann.Node)
		}
	}
	var join []cluster.Node
	for _, k := range m.order {
		if k.ann == nil || slices.ContainsFunc(in, func(x cluster.Node) bool { return x.ID == k.id }) {
			continue
		}
		if m.candidate(h, k) == "" && !blocked(k.id, k.ann.Boot) {
			join = append(join, k.ann.Node)
		}
	}
	in = admit(in, join, m.cfg.max())
	need := m.cfg.MinNodes
	if m.anydone() {
		need = 1 // what is left of the job is small, and the others will not come back
	}
	c := choice{nodes: in, marks: marks}
	if len(in) < need {
		c.waiting = fmt.Sprintf("%d of at least %d nodes", len(in), need)
		return c
	}
	if c.waiting = m.fenced(h, &c); c.waiting == "" {
		m.duty.silent = 0
	}
	return c
}

// admit adds joiners in the order of host and name, up to most nodes. If there
// is not room for all, those with the newest state come first, if need be in
// place of the last survivor: without one of them nothing could be formed.
func admit(in, join []cluster.Node, most int) []cluster.Node {
	newest := func(xs []cluster.Node) (s uint64) {
		for i := range xs {
			s = max(s, xs[i].Step)
		}
		return s
	}
	byPlace := func(a, b cluster.Node) int {
		return cmp.Or(cmp.Compare(a.Host, b.Host), cmp.Compare(a.ID, b.ID))
	}
	if best := newest(join); best > newest(in)+1 && len(in) > 0 && len(in) == most {
		in = in[:most-1]
	}
	if room := most - len(in); len(join) > room {
		slices.SortFunc(join, func(a, b cluster.Node) int { return cmp.Or(cmp.Compare(b.Step, a.Step), byPlace(a, b)) })
		join = join[:room]
	}
	slices.SortFunc(join, byPlace)
	for _, x := range join {
		in = place(in, x)
	}
	return in
}

// place puts a joiner behind the last node of its host, else at the end.
func place(in []cluster.Node, x cluster.Node) []cluster.Node {
	for i := len(in) - 1; i >= 0; i-- {
		if in[i].Host == x.Host {
			return slices.Insert(in, i+1, x)
		}
	}
	return append(in, x)
}

// candidate says why a node cannot be a member after h, "" if it can.
func (m *Machine) candidate(h *Record, k *known) string {
	a := k.ann
	switch {
	case a == nil:
		return "not announced"
	case len(a.Workers) == 0:
		return "no workers"
	case a.Build != m.cfg.Self.Build || a.Job != m.cfg.Self.Job:
		return "another build or job"
	case a.Leaving:
		return "leaving"
	case a.Done:
		return "done"
	}
	member := h.has(k.id, a.Boot)
	switch m.healthOf(k.id, a.Boot) {
	case cluster.Alive:
	case cluster.Suspect, 0:
		if !member {
			return "not heard of"
		}
	default:
		return "dead"
	}
	// A node that was left out is back when it has taken notice.
	if mark := h.mark(k.id); mark != nil && mark.Boot == a.Boot && !member {
		if mark.Out && a.N < mark.N {
			return "left out: " + mark.Why
		}
	}
	if m.now < m.freeAt(h, k.id) && !member {
		return "stays out for a while"
	}
	return ""
}

// freeAt is the end of a node's penalty.
func (m *Machine) freeAt(h *Record, id cluster.NodeID) time.Duration {
	mark := h.mark(id)
	if mark == nil || mark.Strikes < 2 || !mark.Out {
		return 0
	}
	since, ok := m.duty.marked[id]
	if !ok {
		return 0
	}
	at := since + min(m.cfg.Penalty<<min(mark.Strikes-2, 20), m.cfg.PenaltyMax)
	m.wake(at)
	return at
}

// anydone reports whether some node has completed the job.
func (m *Machine) anydone() bool {
	return slices.ContainsFunc(m.order, func(k *known) bool {
		return k.ann != nil && k.ann.Done || k.ack != nil && k.ack.Done
	})
}

// accounted reports who must be heard of before a store that has no record,
// or one that was put back, gets a new one: somebody may know of a newer.
func (m *Machine) accounted(h *Record) string {
	n := uint64(0)
	if h != nil {
		n = h.N
	}
	for _, k := range m.order {
		if k.ann != nil && k.ann.N > n && !m.gone(k.id, k.ann.Boot) {
			return fmt.Sprintf("node %s knows of generation %d", k.id, k.ann.N)
		}
	}
	if h != nil && !h.Restored {
		return ""
	}
	for id, e := range m.health {
		if (e.Health == cluster.Alive || e.Health == cluster.Suspect) && m.announced(id) == nil {
			return fmt.Sprintf("node %s has not announced itself yet", id)
		}
	}
	if h == nil {
		return ""
	}
	for i := range h.Nodes {
		x := &h.Nodes[i]
		if m.announced(x.ID) == nil && !m.gone(x.ID, x.Boot) {
			return fmt.Sprintf("node %s, a member of generation %d, has not announced itself yet", x.ID, n)
		}
	}
	return ""
}

// fenced says why a choice must wait lest two groups train at a time, or
// one train on from an older state than another holds.
func (m *Machine) fenced(h *Record, c *choice) string {
	if h == nil {
		return ""
	}
	open, going := m.open(h, c.nodes)
	if going != 0 && m.cfg.rule(RuleStopped) {
		d := &m.duty
		if d.silent == 0 {
			d.silent = m.now
		}
		at := d.silent + m.cfg.DisjointAfter
		if m.cfg.DisjointAfter < 0 || m.now < at {
			if m.cfg.DisjointAfter >= 0 {
				c.retry = at
			}
			return fmt.Sprintf("no sign that generation %d has stopped", going)
		}
	}
	c.open = open
	if !m.cfg.rule(RuleNewest) {
		return ""
	}
	var best uint64
	for i := range c.nodes {
		best = max(best, c.nodes[i].Step)
	}
	for _, k := range m.order {
		a := k.ann
		// A step in flight may be done on one node and not yet on another;
		// done again it has the same result.
		if a == nil || a.Leaving || a.Step <= best+1 || a.Job != m.cfg.Self.Job {
			continue
		}
		if h := m.healthOf(k.id, a.Boot); h == cluster.Alive || h == cluster.Suspect {
			c.over = a.Done
			return fmt.Sprintf("node %s holds step %d, the others %d", k.id, a.Step, best)
		}
	}
	return ""
}

// open returns the generations up to h that may still be training for all
// that is known, each of which the next one must stop by having a member of
// it. going is one of which it has none, 0 if there is none.
func (m *Machine) open(h *Record, next []cluster.Node) (open []Group, going uint64) {
	g := Group{N: h.N}
	for i := range h.Nodes {
		g.Nodes = append(g.Nodes, Start{h.Nodes[i].ID, h.Nodes[i].Boot})
	}
	for _, g := range append(slices.Clone(h.Open), g) {
		if m.stopped(&g) {
			continue
		}
		open = append(open, g)
		if !slices.ContainsFunc(g.Nodes, func(x Start) bool {
			return slices.ContainsFunc(next, func(y cluster.Node) bool { return y.ID == x.Node && y.Boot == x.Boot })
		}) {
			going = g.N
		}
	}
	return open, going
}

// stopped reports whether at least one member is known to have stopped a
// generation; no step of it can then be completed, for each needs all members.
func (m *Machine) stopped(g *Group) bool {
	for _, x := range g.Nodes {
		if m.healthOf(x.Node, x.Boot) == cluster.Departed {
			return true
		}
		k := m.nodes[x.Node]
		if k == nil {
			continue
		}
		if a := k.ack; a != nil && a.Boot == x.Boot && (a.N > g.N || a.N == g.N && (a.Broken || a.Drained || a.Done)) {
			return true
		}
		if a := k.ann; a != nil && (a.Done || a.Left || a.Boot != x.Boot || a.N > g.N) {
			return true // N is on its disk, and it has left what came before
		}
	}
	return false
}
