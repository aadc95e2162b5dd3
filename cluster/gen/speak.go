package gen

import (
	"fmt"
	"slices"

	"github.com/espalier-ml/espalier/cluster"
)

// speak keeps this node's two keys equal to what it has to say.
func (m *Machine) speak() {
	if m.ended {
		return
	}
	if m.cur.ack.N != 0 {
		k := m.node(m.self())
		if k.ack == nil || *k.ack != m.cur.ack {
			m.put(KeyAck(m.self()), m.cur.ack)
		}
	}
	m.announce()
}

// spokeUp reports whether the store has all that this node has to say, so
// that a leader judges itself by what the others know of it.
func (m *Machine) spokeUp() bool {
	k := m.node(m.self())
	if m.cur.ack.N != 0 && (k.ack == nil || *k.ack != m.cur.ack) {
		return false
	}
	return k.ann != nil && k.ann.Boot == m.cfg.Self.Boot && (m.cur.live || k.ann.Step == m.step && slices.Equal(k.ann.Workers, m.workers))
}

func (m *Machine) announce() {
	want := Announcement{Node: m.cfg.Self, N: m.memory.N, Leaving: m.leaving, Left: m.left, Done: m.done}
	want.Workers, want.Step = m.workers, m.step
	have := m.announced(m.self())
	if k := m.nodes[m.self()]; m.done && m.cur.ack.Done && (k.ack == nil || *k.ack != m.cur.ack) {
		want.Done = false // first of all in which generation
	}
	if have != nil && have.Boot == want.Boot {
		m.spoken = true
		if m.head.has(m.self(), want.Boot) && m.head.N >= want.N {
			want.N = have.N // members need not say so: they acknowledge
		}
		if sameAnnouncement(have, &want) {
			return
		}
		if have.Leaving == want.Leaving && have.Left == want.Left && have.Done == want.Done && have.N == want.N &&
			slices.Equal(have.Workers, want.Workers) && m.cur.live && m.now < m.stepped+m.cfg.StepInterval {
			m.wake(m.stepped + m.cfg.StepInterval) // only the step has changed
			return
		}
	} else if have != nil && m.spoken {
		m.exclude(fmt.Sprintf("another process has joined as node %s", m.self()))
		return
	}
	if m.put(KeyNode(m.self()), &want) {
		m.stepped = m.now
	}
}

func sameAnnouncement(a, b *Announcement) bool {
	return a.Boot == b.Boot && a.N == b.N && a.Leaving == b.Leaving && a.Left == b.Left && a.Done == b.Done &&
		a.Step == b.Step && a.Host == b.Host && a.Build == b.Build && a.Job == b.Job &&
		slices.Equal(a.Workers, b.Workers)
}

// part ends the session of a node that asked to leave, as soon as the others
// know and no generation counts on it.
func (m *Machine) part() {
	if !m.leaving || m.ended || m.cur.live {
		return
	}
	k := m.nodes[m.self()]
	if k == nil || k.ann == nil || k.ann.Boot != m.cfg.Self.Boot || !k.ann.Leaving {
		return
	}
	if m.cur.ack.N != 0 && (k.ack == nil || *k.ack != m.cur.ack) {
		return
	}
	if m.left = true; !k.ann.Left {
		m.announce() // nothing is taken up from here on, and the others know
		return
	}
	m.end(cluster.Order{Kind: cluster.Left, N: m.cur.ack.N})
}
