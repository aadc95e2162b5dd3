// Package clustertest has stand-ins for what a cluster is made of, for tests:
// gossip whose news the test decides. A store with faults to inject is
// control.Memory; whole clusters under faults are cluster/sim.
//
//	var g clustertest.Gossip
//	members := g.Join("a", "boot-1")   // cluster.Members; the others hear that a is alive
//	g.Say("b", cluster.Dead)           // everyone hears that b is dead
package clustertest

import (
	"context"
	"sync"

	"github.com/espalier-ml/espalier/cluster"
)

// Gossip spreads what a test says. The zero value is ready, and safe for use
// by several goroutines.
type Gossip struct {
	mu      sync.Mutex
	members []*member
	known   []cluster.MemberEvent
}

// member implements cluster.Members.
type member struct {
	of     *Gossip
	id     cluster.NodeID
	events chan cluster.MemberEvent
	closed bool
}

// room of a member's channel; a test that says more at once would block.
const room = 256

// Join makes a start of a node known to all and returns what it hears.
func (g *Gossip) Join(id cluster.NodeID, boot string) cluster.Members {
	g.mu.Lock()
	defer g.mu.Unlock()
	m := &member{of: g, id: id, events: make(chan cluster.MemberEvent, room)}
	for _, e := range g.known {
		if e.Node != id {
			m.events <- e
		}
	}
	g.members = append(g.members, m)
	g.spread(cluster.MemberEvent{Node: id, Boot: boot, Health: cluster.Alive})
	return m
}

// Say tells everyone how the last start of a node is.
func (g *Gossip) Say(id cluster.NodeID, h cluster.Health) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, e := range g.known {
		if e.Node == id {
			g.spread(cluster.MemberEvent{Node: id, Boot: e.Boot, Health: h})
			return
		}
	}
}

func (g *Gossip) spread(e cluster.MemberEvent) {
	known := false
	for i := range g.known {
		if g.known[i].Node == e.Node {
			g.known[i], known = e, true
		}
	}
	if !known {
		g.known = append(g.known, e)
	}
	for _, m := range g.members {
		if m.id != e.Node && !m.closed {
			m.events <- e
		}
	}
}

func (m *member) Events() <-chan cluster.MemberEvent { return m.events }

func (m *member) Close(context.Context) error {
	m.of.mu.Lock()
	defer m.of.mu.Unlock()
	if !m.closed {
		m.closed = true
		close(m.events)
	}
	return nil
}
