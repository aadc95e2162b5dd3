package gen

import (
	"fmt"
	"slices"
	"time"

	"github.com/espalier-ml/espalier/cluster"
)

// duty is what the leader knows beyond the store. A new leader starts afresh.
type duty struct {
	term    uint64
	n       uint64
	phase   Phase
	since   time.Duration // when this phase of n was first seen, or looked at afresh after a pause
	formed  time.Duration // when n was first seen
	noticed time.Duration // when its end was first seen to be needed; 0: it is not
	waiting string        // why the next generation is not formed yet
	silent  time.Duration // since when no sign of a member of n was to be had; 0: there is one
	marked  map[cluster.NodeID]time.Duration
}

// lead does the leader's work on the head record.
func (m *Machine) lead() {
	if m.ended || !m.leads() {
		m.duty = duty{}
		return
	}
	h, term := m.head, m.leader.Term
	if h != nil && h.N < m.memory.N || h == nil && m.memory.N > 0 {
		return // see restore
	}
	if h != nil && h.Term > term && m.cfg.rule(RuleFence) {
		return // there is a newer leader, whatever the leader's key says here
	}
	m.observe(h, term)
	if !m.free(KeyHead) {
		return
	}
	if h == nil {
		m.next(nil, "start", m.cfg.FirstWait)
		return
	}
	if h.Term < term && m.cfg.rule(RuleFence) {
		r := *h
		r.Term, r.By = term, m.self()
		m.put(KeyHead, &r)
		return
	}
	if !m.logged(h) || h.Phase == Done {
		return
	}
	if !m.spokeUp() {
		return
	}
	if cause, ok := m.faulty(h); ok {
		m.next(h, cause, m.settle(h))
		return
	}
	switch h.Phase {
	case Forming:
		m.forming(h)
	case Running:
		m.running(h)
	case Draining:
		m.draining(h)
	}
}

// observe notes when things were first seen.
func (m *Machine) observe(h *Record, term uint64) {
	d := &m.duty
	if d.term != term {
		*d = duty{term: term, since: m.now, formed: m.now, marked: make(map[cluster.NodeID]time.Duration)}
	}
	if h == nil {
		return
	}
	if h.N != d.n {
		for _, k := range h.Marks {
			if k.N == h.N || d.n == 0 {
				d.marked[k.Node] = m.now
			}
		}
		d.formed, d.noticed, d.waiting, d.silent = m.now, 0, "", 0
	}
	if h.N != d.n || h.Phase != d.phase {
		d.n, d.phase, d.since = h.N, h.Phase, m.now
	}
}

// settle is how long after the first sign of a fault the next generation is
// formed. It grows while generations get nowhere.
func (m *Machine) settle(h *Record) time.Duration {
	fails := h.Fails
	if h.Phase == Forming || m.now-m.duty.since < m.cfg.Beat {
		fails++
	}
	return m.cfg.Settle << min(max(fails-3, 0), 5)
}

// logged makes sure that the link of the head is in the log before anything follows it.
func (m *Machine) logged(h *Record) bool {
	if h.Restored {
		for n := h.N - 1; n > 0; n-- {
			l, ok := m.links[n]
			if !ok {
				break
			}
			if m.slot(KeyLog(n)).rev == 0 && m.put(KeyLog(n), l) {
				break // one at a time
			}
		}
	}
	key := KeyLog(h.N)
	if m.slot(key).rev != 0 {
		return true
	}
	m.put(key, h.Link())
	return false
}

// faulty reports why the generation cannot go on.
func (m *Machine) faulty(h *Record) (string, bool) {
	for i := range h.Nodes {
		x := &h.Nodes[i]
		a := m.acked(x, h.N)
		switch ann := m.announced(x.ID); {
		case a.Broken:
			return fmt.Sprintf("%s: %s", x.ID, a.Why), true
		case a.Done:
		case ann != nil && ann.Boot == x.Boot && ann.Done:
			return fmt.Sprintf("node %s completed the job before", x.ID), true
		case ann != nil && ann.Boot != x.Boot:
			return fmt.Sprintf("node %s was started anew", x.ID), true
		case ann != nil && ann.Left:
			return fmt.Sprintf("node %s has left", x.ID), true
		case m.gone(x.ID, x.Boot):
			return fmt.Sprintf("node %s is %v", x.ID, m.healthOf(x.ID, x.Boot)), true
		case h.Phase == Forming && !a.Opened && ann != nil && !subset(x.Workers, ann.Workers):
			return fmt.Sprintf("workers of node %s changed", x.ID), true
		}
	}
	return "", false
}

func (m *Machine) forming(h *Record) {
	all, suspects := true, 0
	for i := range h.Nodes {
		x := &h.Nodes[i]
		a := m.acked(x, h.N)
		if !a.Opened && !a.Done {
			all = false
		}
		if a.N == 0 && m.suspected(h, x) {
			suspects++
		}
	}
	d := &m.duty
	switch {
	case all:
		m.phase(h, Running)
	case suspects > 0 && m.now >= d.since+m.cfg.SuspectWait,
		m.untaken(h) && m.now >= d.since+m.cfg.TakeWait,
		m.now >= d.since+m.cfg.OpenWait:
		m.next(h, "not all members opened the generation in time", 0)
	default:
		if suspects > 0 {
			m.wake(d.since + m.cfg.SuspectWait)
		}
		if m.untaken(h) {
			m.wake(d.since + m.cfg.TakeWait)
		}
		m.wake(d.since + m.cfg.OpenWait)
	}
}

// untaken reports whether a member has not acknowledged the generation at all.
func (m *Machine) untaken(h *Record) bool {
	return slices.ContainsFunc(h.Nodes, func(x cluster.Node) bool { return m.acked(&x, h.N).N == 0 })
}

func (m *Machine) running(h *Record) {
	if m.alldone(h) {
		m.phase(h, Done)
		return
	}
	for i := range h.Nodes {
		x := &h.Nodes[i]
		ann := m.announced(x.ID)
		switch a := m.acked(x, h.N); {
		case a.Drained:
			m.drain(h, h.Cause) // ordered before the store lost that phase
			return
		case ann == nil || a.Done:
			continue
		case ann.Leaving:
			m.drain(h, fmt.Sprintf("node %s leaves", x.ID))
			return
		case !subset(x.Workers, ann.Workers):
			m.drain(h, fmt.Sprintf("node %s has other workers", x.ID))
			return
		}
	}
	cause := m.wanted(h)
	if cause == "" {
		return
	}
	if at := m.duty.formed + m.cfg.JoinInterval; m.now < at {
		m.wake(at)
		return
	}
	m.drain(h, cause)
}

// wanted says who could come in.
func (m *Machine) wanted(h *Record) string {
	for i := range h.Nodes {
		x := &h.Nodes[i]
		if ann := m.announced(x.ID); ann != nil && len(ann.Workers) > len(x.Workers) {
			return fmt.Sprintf("node %s has more workers", x.ID)
		}
	}
	if len(h.Nodes) >= m.cfg.max() {
		return ""
	}
	for _, k := range m.order {
		if h.member(k.id) == nil && m.candidate(h, k) == "" {
			return fmt.Sprintf("node %s joins", k.id)
		}
	}
	return ""
}

func (m *Machine) draining(h *Record) {
	for i := range h.Nodes {
		if a := m.acked(&h.Nodes[i], h.N); !a.Drained && !a.Done {
			if at := m.duty.since + m.cfg.DrainWait; m.now < at {
				m.wake(at)
				return
			}
			break
		}
	}
	if m.alldone(h) {
		m.phase(h, Done)
		return
	}
	m.next(h, h.Cause, 0)
}

func (m *Machine) alldone(h *Record) bool {
	for i := range h.Nodes {
		if !m.acked(&h.Nodes[i], h.N).Done {
			return false
		}
	}
	return true
}

func (m *Machine) drain(h *Record, cause string) {
	if m.duty.noticed == 0 {
		m.duty.noticed = m.now
	}
	r := *h
	r.Cause = cause
	m.phaseOf(&r, Draining)
}

func (m *Machine) phase(h *Record, p Phase) {
	r := *h
	m.phaseOf(&r, p)
}

func (m *Machine) phaseOf(r *Record, p Phase) {
	r.Phase, r.Term, r.By = p, m.leader.Term, m.self()
	m.put(KeyHead, r)
}

// next forms the generation after h, if it can be formed and the wait after
// the first sign is over.
func (m *Machine) next(h *Record, cause string, wait time.Duration) {
	d := &m.duty
	if h != nil && d.noticed == 0 {
		d.noticed = m.now
	}
	c := m.choose(h)
	d.waiting = c.waiting
	if c.waiting != "" {
		if h != nil && (c.over || len(c.nodes) == 0 && m.anydone()) {
			m.phase(h, Done)
			return
		}
		if h == nil {
			d.noticed = 0
		}
		m.wake(c.retry)
		return
	}
	if d.noticed == 0 {
		d.noticed = m.now
	}
	if h == nil && len(c.nodes) >= m.cfg.max() {
		wait = 0
	}
	if m.now < d.noticed+wait {
		m.wake(d.noticed + wait)
		return
	}
	r := Record{
		N: 1, Nodes: c.nodes, Phase: Forming, Term: m.leader.Term, By: m.self(), Cause: cause,
		Noticed: int64(m.now - d.noticed), Marks: c.marks, Open: c.open,
	}
	if h != nil {
		r.N, r.Prev = h.N+1, h.chain
		if h.Phase == Forming || h.Phase == Running && m.now-d.since < m.cfg.Beat {
			r.Fails = h.Fails + 1
		}
	}
	m.proposed.n, m.proposed.at = r.N, m.now
	m.put(KeyHead, &r)
}

// subset reports whether all of a are in b.
func subset(a, b []string) bool {
	for _, x := range a {
		if !slices.Contains(b, x) {
			return false
		}
	}
	return true
}
