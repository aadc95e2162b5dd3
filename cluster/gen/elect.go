package gen

import "fmt"

// tick takes the time, and notices when the node itself was paused.
func (m *Machine) tick(e Tick) {
	if !e.Regular {
		m.wakeAsked = 0
		return
	}
	if m.now-m.ticked > 4*m.cfg.Tick && m.ticked != 0 {
		m.pause()
	}
	m.ticked = m.now
}

// pause discards what the node suspects of others: it was itself that stood
// still. It looks again from now on.
func (m *Machine) pause() {
	m.slipped, m.everSlip = m.now, true
	m.leaderAt = m.now
	m.duty.since = m.now
}

// dazed reports whether the node has just come back from a pause.
func (m *Machine) dazed() bool {
	return m.now-m.ticked > 4*m.cfg.Tick || m.everSlip && m.now-m.slipped < m.cfg.LeaderTimeout
}

// leads reports whether this node is the leader as far as it knows.
func (m *Machine) leads() bool {
	l := m.leader
	return l != nil && l.Node == m.self() && l.Boot == m.cfg.Self.Boot && !l.Resigned
}

// elect keeps the leader's key, or takes it over when its holder is silent.
func (m *Machine) elect() {
	if m.ended {
		return
	}
	l := m.leader
	switch {
	case m.leads() && m.head != nil && m.head.Term > l.Term:
		m.claim(m.highestTerm()+1, false) // fails if there is a newer leader; else the store was emptied
	case m.leads():
		if m.now < m.beatAt {
			m.wake(m.beatAt)
			return
		}
		m.beat++
		if m.claim(l.Term, false) {
			m.beatAt = m.now + m.cfg.Beat
			m.wake(m.beatAt)
		}
	case m.leaving:
	case l == nil || l.Resigned || m.gone(l.Node, l.Boot) || m.now-m.leaderAt >= m.cfg.LeaderTimeout:
		m.claim(m.highestTerm()+1, false)
	default:
		m.wake(m.leaderAt + m.cfg.LeaderTimeout)
	}
}

// claim writes the leader's key.
func (m *Machine) claim(term uint64, resigned bool) bool {
	l := Leader{Node: m.self(), Boot: m.cfg.Self.Boot, Term: term, Beat: m.beat, Resigned: resigned}
	if m.leader != nil {
		l.Store = m.leader.Store
	} else {
		l.Store = fmt.Sprintf("%s.%d", m.cfg.Self.Boot, m.life)
	}
	return m.put(KeyLeader, l)
}

func (m *Machine) highestTerm() (t uint64) {
	if m.leader != nil {
		t = m.leader.Term
	}
	if m.head != nil {
		t = max(t, m.head.Term)
	}
	if m.memory.Last != nil {
		t = max(t, m.memory.Last.Term)
	}
	return t
}

// resign lets others take over at once.
func (m *Machine) resign() {
	if m.leads() {
		m.beat++
		m.claim(m.leader.Term, true)
	}
}
