package gossip

import (
	"net"
	"slices"
	"sync"
	"time"

	"github.com/espalier-ml/espalier/cluster"
	"github.com/espalier-ml/espalier/cluster/detect"
)

// maxNeighbours is how many members a member pings.
const maxNeighbours = 16

// neighbours are the members that come after self in a ring of all by name:
// everybody has as many who watch, and in small runs all watch all.
func neighbours(self cluster.NodeID, others []cluster.NodeID) []cluster.NodeID {
	i, _ := slices.BinarySearch(others, self)
	ring := slices.Concat(others[i:], others[:i])
	return ring[:min(len(ring), maxNeighbours)]
}

// starter is one start of a node.
type starter struct {
	id   cluster.NodeID
	boot string
}

// ear is when this member last heard of another.
type ear struct {
	mu    sync.Mutex
	heard map[starter]time.Time
}

func (e *ear) hear(s starter, now time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if now.After(e.heard[s]) {
		e.heard[s] = now
	}
}

// silent reports whether s was not heard of for so long. What is seen for the
// first time was heard of now.
func (e *ear) silent(s starter, now time.Time, long time.Duration) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	last, ok := e.heard[s]
	if !ok {
		e.heard[s] = now
		return false
	}
	return now.Sub(last) >= long
}

// keep forgets all but the present.
func (e *ear) keep(present map[starter]bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for s := range e.heard {
		if !present[s] {
			delete(e.heard, s)
		}
	}
}

// reset has heard of all just now.
func (e *ear) reset(now time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for s := range e.heard {
		e.heard[s] = now
	}
}

// watch pings neighbours and suspects those who are silent.
func (m *Members) watch() {
	t := m.cfg.Timing
	guard := detect.NewGuard(t.Ping)
	ear := &ear{heard: map[starter]time.Time{}}
	flights := make(chan struct{}, maxNeighbours*int(1+t.Answer/t.Ping))
	tick := time.NewTicker(t.Ping)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-m.ctx.Done():
			return
		}
		now := time.Now()
		if guard.Tick(now) > 0 {
			ear.reset(now) // it was us who were away
		}
		present := map[starter]bool{}
		for _, id := range neighbours(m.cfg.Node, m.roster.present()) {
			p, ok := m.roster.get(id)
			if !ok {
				continue
			}
			s := starter{id, p.meta.Boot}
			present[s] = true
			if ear.silent(s, now, t.Silence) {
				m.roster.mark(id, s.boot, cluster.Alive, cluster.Suspect)
			}
			select {
			case flights <- struct{}{}:
				m.all.Go(func() {
					m.ping(s, p, ear)
					<-flights
				})
			default: // pings pile up: this machine is overloaded
			}
		}
		ear.keep(present)
	}
}

// ping asks a member for a sign of life.
func (m *Members) ping(s starter, p member, e *ear) {
	_, err := m.list.Ping(string(s.id), &net.UDPAddr{IP: p.ip, Port: int(p.port)})
	if err == nil {
		e.hear(s, time.Now())
		m.roster.mark(s.id, s.boot, cluster.Suspect, cluster.Alive)
	}
}
