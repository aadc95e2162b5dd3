package gen

import (
	"fmt"
	"slices"

	"github.com/espalier-ml/espalier/cluster"
)

// newHead takes a record that the store shows.
func (m *Machine) newHead(r *Record) {
	m.head = r
	if r.N == m.memory.N && r.chain == m.memory.Chain {
		m.memory.Last = r // the phase that restore would put back
	}
	m.remember(r)
}

// follow does what the newest record asks of this node as a member.
func (m *Machine) follow() {
	h := m.head
	if h == nil || h.N < m.memory.N {
		m.restore()
		return
	}
	m.abort(h)
	if h.N > m.memory.N {
		m.take(h)
		return
	}
	if h.chain != m.memory.Chain && m.cfg.rule(RuleChain) {
		m.exclude(fmt.Sprintf("generation %d of the run is not the one that this node has kept: the run was split; start the node under a new name and without its state of the run", h.N))
		return
	}
	m.obey(h)
}

// abort breaks the agent's generation if it cannot go on.
func (m *Machine) abort(h *Record) {
	c := &m.cur
	if !c.live {
		return
	}
	cause := ""
	if h.N > c.ack.N {
		cause = h.Cause
	} else if x, a := m.faultOf(h); x != nil && h.N == c.ack.N {
		cause = fmt.Sprintf("%s: %s", x.ID, a.Why)
	}
	if cause != "" || h.N > c.ack.N {
		c.live = false
		m.do(Deliver{cluster.Order{Kind: cluster.Abort, N: c.ack.N, Cause: cause}})
	}
}

// faultOf returns the first member that said that the generation is broken.
func (m *Machine) faultOf(h *Record) (*cluster.Node, Ack) {
	for i := range h.Nodes {
		if a := m.acked(&h.Nodes[i], h.N); a.Broken {
			return &h.Nodes[i], a
		}
	}
	return nil, Ack{}
}

// take checks that a new record extends what the node has kept, and keeps it.
func (m *Machine) take(h *Record) {
	if m.saving != nil || m.now < m.saveAt {
		m.wake(m.saveAt)
		return
	}
	if m.memory.N > 0 && m.cfg.rule(RuleChain) {
		extends, missing := m.extends(h)
		if missing != 0 {
			key := KeyLog(missing)
			if s := m.slot(key); !s.pending && !s.reading {
				s.lost = true // it must exist: keep asking
				m.fetch(key, s)
			}
			return
		}
		if !extends {
			m.exclude(fmt.Sprintf("generation %d of the run does not follow on generation %d that this node has kept: the run was split; start the node under a new name and without its state of the run", h.N, m.memory.N))
			return
		}
	}
	next := Memory{N: h.N, Chain: h.chain, Last: h}
	m.links[h.N] = h.Link()
	for n := h.N; n > 0 && h.N-n < keepLinks; n-- {
		l, ok := m.links[n]
		if !ok {
			break
		}
		next.Links = append(next.Links, l)
	}
	slices.Reverse(next.Links)
	delete(m.links, h.N-min(h.N, 2*keepLinks))
	m.saving = &next
	m.do(Save{next})
}

// extends checks the links between the node's memory and a record. missing is
// the number of a link that is not known yet.
func (m *Machine) extends(h *Record) (ok bool, missing uint64) {
	prev := h.Prev
	for n := h.N - 1; n > m.memory.N; n-- {
		l, known := m.links[n]
		if !known || l.Chain() != prev {
			if known {
				delete(m.links, n) // of another life of the store
			}
			return false, n
		}
		prev = l.Prev
	}
	return prev == m.memory.Chain, 0
}

func (m *Machine) saved(e Saved) {
	if m.saving == nil || m.saving.N != e.N {
		return
	}
	next := m.saving
	m.saving = nil
	if e.Err != nil {
		m.saveBad++
		m.saveAt = m.now + min(m.cfg.Retry<<min(m.saveBad, 5), m.cfg.Beat)
		m.do(Note{fmt.Sprintf("cannot keep generation %d, so it is not acknowledged: %v", e.N, e.Err)})
		return
	}
	m.memory, m.saveBad, m.saveAt = *next, 0, 0
}

// obey turns the record into orders. It is kept on disk by now.
func (m *Machine) obey(h *Record) {
	c := &m.cur
	mine := h.has(m.self(), m.cfg.Self.Boot)
	switch {
	case h.Phase == Done:
		m.end(cluster.Order{Kind: cluster.Finished, N: h.N})
	case len(h.Nodes) > 0 && (h.Nodes[0].Build != m.cfg.Self.Build || h.Nodes[0].Job != m.cfg.Self.Job):
		m.exclude(fmt.Sprintf("node %s runs build %s, job %s; the run is build %s, job %s", m.self(), m.cfg.Self.Build, m.cfg.Self.Job, h.Nodes[0].Build, h.Nodes[0].Job))
	case mine && h.N > c.ack.N && !m.done && !m.left && (h.Phase == Forming || h.Phase == Running):
		m.cur = current{ack: Ack{Boot: m.cfg.Self.Boot, N: h.N}, live: true}
		m.do(Deliver{cluster.Order{Kind: cluster.Form, N: h.N, Generation: h.Generation()}})
	case mine && h.N == c.ack.N && h.Phase == Draining && c.live && !c.told:
		c.told = true
		m.do(Deliver{cluster.Order{Kind: cluster.Drain, N: h.N, Cause: h.Cause}})
	}
}

// restore puts back the newest record that the node has kept, after the
// store lost it.
func (m *Machine) restore() {
	last := m.memory.Last
	if last == nil || m.leader == nil || !m.free(KeyHead) {
		return
	}
	if m.head == nil && m.slot(KeyHead).rev == 0 && m.now-m.leaderAt < m.cfg.Beat && !m.leads() {
		m.wake(m.leaderAt + m.cfg.Beat) // the watch may be about to show it
		return
	}
	r := *last
	r.Restored = true
	r.Term = m.highestTerm()
	r.By = m.self()
	m.put(KeyHead, &r)
}

func (m *Machine) exclude(cause string) {
	m.end(cluster.Order{Kind: cluster.Excluded, N: m.cur.ack.N, Cause: cause})
}

// end delivers the last order.
func (m *Machine) end(o cluster.Order) {
	if m.ended {
		return
	}
	m.resign()
	m.do(Deliver{o})
	m.ended = true
}
