package gen

import (
	"fmt"
	"slices"
	"time"

	"github.com/espalier-ml/espalier/cluster"
)

// Reform is a formation as this node saw it; At is on its monotonic clock.
type Reform struct {
	N       uint64
	Cause   string
	World   int
	At      time.Duration
	Noticed time.Duration
	Formed  time.Duration
	Opened  time.Duration
}

// keepReforms bounds the history of a machine.
const keepReforms = 64

// remember notes a record's course for the history.
func (m *Machine) remember(r *Record) {
	i := slices.IndexFunc(m.recent, func(x Reform) bool { return x.N == r.N })
	if i < 0 {
		if len(m.recent) == keepReforms {
			m.recent = slices.Delete(m.recent, 0, 1)
		}
		i = len(m.recent)
		m.recent = append(m.recent, Reform{
			N: r.N, Cause: r.Cause, World: r.Generation().World(), At: m.now,
			Noticed: time.Duration(r.Noticed), Formed: m.now - m.sentAt(r),
		})
	}
	if x := &m.recent[i]; r.Phase == Running && x.Opened == 0 {
		x.Opened = m.now - x.At
	}
}

// sentAt is when the record was proposed, as far as this node knows.
func (m *Machine) sentAt(r *Record) time.Duration {
	if r.By == m.self() && m.proposed.n == r.N {
		return m.proposed.at
	}
	return m.now
}

// History returns the last formations, oldest first.
func (m *Machine) History() []Reform { return slices.Clone(m.recent) }

// View is a copy of what the machine knows; its History is left to the caller,
// who knows the time of day.
func (m *Machine) View() cluster.View {
	v := cluster.View{Self: m.self(), Phase: "idle", Suspects: make(map[cluster.NodeID]string)}
	if m.leader != nil && !m.leader.Resigned {
		v.Leader = m.leader.Node
	}
	for _, k := range m.order {
		if k.ann != nil && !k.ann.Leaving && !m.gone(k.id, k.ann.Boot) {
			x := k.ann.Node
			x.Workers = slices.Clone(x.Workers)
			v.Candidates = append(v.Candidates, x)
		}
	}
	for id, e := range m.health {
		if e.Health != cluster.Alive {
			v.Suspects[id] = "gossip: " + e.Health.String()
		}
	}
	if h := m.head; h != nil {
		v.Phase = string(h.Phase)
		v.Generation = *h.Generation()
		v.Generation.Nodes = slices.Clone(h.Nodes)
		for _, k := range h.Marks {
			if k.Out || k.Blamed > 0 {
				v.Suspects[k.Node] = k.Why
			}
		}
	}
	if m.leads() && m.duty.waiting != "" {
		v.Phase = fmt.Sprintf("%s, waiting: %s", v.Phase, m.duty.waiting)
	}
	return v
}
