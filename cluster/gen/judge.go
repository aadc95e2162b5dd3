package gen

import (
	"fmt"
	"slices"

	"github.com/espalier-ml/espalier/cluster"
)

// suspected reports whether something is held against a member that has not
// taken up the generation: it then gets less time.
func (m *Machine) suspected(h *Record, x *cluster.Node) bool {
	if m.healthOf(x.ID, x.Boot) == cluster.Suspect {
		return true
	}
	k := h.mark(x.ID)
	return k != nil && k.Boot == x.Boot && k.N+1 >= h.N && k.Blamed > 0
}

// judge returns the marks of the record that follows h: who is left out, and
// what is remembered of others.
func (m *Machine) judge(h *Record) (marks []Mark) {
	if h == nil {
		return nil
	}
	n := h.N + 1
	ran := h.Phase == Running || h.Phase == Draining
	for _, k := range h.Marks { // what was held against them, as far as it still counts
		x := h.member(k.Node)
		switch {
		case x == nil && k.Out: // still out; candidate decides when it may come back
			if k.Strikes >= 2 || m.announced(k.Node) != nil && m.announced(k.Node).Boot == k.Boot && m.announced(k.Node).N < k.N {
				k.Out = m.kept(h, k)
				marks = append(marks, k)
			} else {
				k.Out = false
				marks = append(marks, k)
			}
		case x == nil || ran && m.now-m.duty.since >= m.cfg.Forgive: // forgiven
		default:
			k.Out = false
			if ran && m.now-m.duty.since >= m.cfg.Beat {
				k.Blamed = 0
			}
			marks = append(marks, k)
		}
	}
	set := func(x *cluster.Node, out bool, why string) {
		i := slices.IndexFunc(marks, func(k Mark) bool { return k.Node == x.ID })
		if i < 0 {
			i = len(marks)
			marks = append(marks, Mark{Node: x.ID})
		}
		k := &marks[i]
		k.Boot, k.N, k.Out, k.Why = x.Boot, n, out, why
		if out {
			k.Strikes++
			k.Blamed = 0
		} else {
			k.Blamed++
		}
	}
	condemned := make(map[cluster.NodeID]bool)
	for i := len(h.Nodes) - 1; i >= 0; i-- { // the last first: of two who blame each other one must stay
		x := &h.Nodes[i]
		out, why := m.sentence(h, x, condemned)
		if out {
			condemned[x.ID] = true
		}
		if why != "" {
			set(x, out, why)
		}
	}
	return marks
}

// kept reports whether a node that was left out must stay out of one more generation.
func (m *Machine) kept(h *Record, k Mark) bool {
	a := m.announced(k.Node)
	if a == nil || a.Boot != k.Boot {
		return m.now < m.freeAt(h, k.Node)
	}
	return a.N < k.N || m.now < m.freeAt(h, k.Node)
}

// sentence decides about one member of a generation that cannot go on: out
// leaves it out of the next; a reason without out is remembered.
func (m *Machine) sentence(h *Record, x *cluster.Node, condemned map[cluster.NodeID]bool) (out bool, why string) {
	own := m.acked(x, h.N)
	if ann := m.announced(x.ID); ann != nil && (ann.Boot != x.Boot || ann.Left) {
		return false, "" // that start is over; the new one may come in
	}
	if m.gone(x.ID, x.Boot) {
		return true, m.healthOf(x.ID, x.Boot).String()
	}
	proof, blamers := false, 0
	for i := range h.Nodes {
		y := &h.Nodes[i]
		a := m.acked(y, h.N)
		if y.ID == x.ID || condemned[y.ID] || !a.Broken || a.Blame != x.ID {
			continue
		}
		if own.Broken && own.Blame != y.ID && h.Fails < manyFails {
			continue // x left because of something else, and y saw it leave
		}
		proof = proof || a.Proof
		blamers++
		why = fmt.Sprintf("blamed by %s: %s", y.ID, a.Why)
	}
	// One that speaks for itself is alive, and so is its link to the store.
	spoke := own.Broken || own.Drained || own.Done
	if !spoke && (proof || blamers >= 2) {
		return true, why
	}
	late := m.now - m.duty.since
	switch h.Phase {
	case Forming:
		limit := m.cfg.TakeWait
		if m.suspected(h, x) || blamers > 0 {
			limit = m.cfg.SuspectWait
		}
		if own.N == 0 && late >= limit {
			return true, fmt.Sprintf("did not take up generation %d", h.N)
		}
		if !own.Opened && !spoke && late >= m.cfg.OpenWait && m.someOpened(h) {
			return true, fmt.Sprintf("did not open generation %d", h.N)
		}
		if !own.Opened && !spoke && blamers > 0 && own.N == 0 {
			return false, why
		}
	case Draining:
		if !spoke && late >= m.cfg.DrainWait {
			return false, fmt.Sprintf("did not leave generation %d in time", h.N)
		}
	}
	if blamers > 0 {
		if k := h.mark(x.ID); k != nil && k.Boot == x.Boot && k.Blamed >= 1 && k.N == h.N && len(h.Nodes) > m.cfg.MinNodes {
			return true, why + "; for the second time in a row"
		}
		return false, why
	}
	return false, ""
}

// manyFails: after so many generations that got nowhere every blame counts.
const manyFails = 4

func (m *Machine) someOpened(h *Record) bool {
	return slices.ContainsFunc(h.Nodes, func(x cluster.Node) bool { return m.acked(&x, h.N).Opened })
}
