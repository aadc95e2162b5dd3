package gossip

import (
	"context"
	"net"
	"slices"
	"strconv"
	"sync"

	"github.com/hashicorp/memberlist"

	"github.com/espalier-ml/espalier/cluster"
)

// roster is what is known of the other members. It is memberlist's
// EventDelegate, called under memberlist's lock, and so never blocks.
type roster struct {
	self cluster.NodeID
	out  chan cluster.MemberEvent

	mu      sync.Mutex
	members map[cluster.NodeID]*member
	pending []cluster.MemberEvent
	changed chan struct{} // closed and renewed by each change
}

type member struct {
	meta   meta
	health cluster.Health
	ip     net.IP
	port   uint16
}

func newRoster(self cluster.NodeID) *roster {
	return &roster{
		self:    self,
		out:     make(chan cluster.MemberEvent),
		members: map[cluster.NodeID]*member{},
		changed: make(chan struct{}),
	}
}

// NotifyJoin implements memberlist.EventDelegate.
func (r *roster) NotifyJoin(n *memberlist.Node) { r.update(n, cluster.Alive) }

// NotifyUpdate implements memberlist.EventDelegate.
func (r *roster) NotifyUpdate(n *memberlist.Node) { r.update(n, 0) }

// NotifyLeave implements memberlist.EventDelegate.
func (r *roster) NotifyLeave(n *memberlist.Node) { r.update(n, cluster.Dead) }

// update takes what memberlist says of a node. health 0 is unchanged.
func (r *roster) update(n *memberlist.Node, health cluster.Health) {
	id := cluster.NodeID(n.Name)
	if id == r.self {
		return
	}
	t, err := parseMeta(n.Meta)
	if err != nil {
		return // the border refuses such members
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	old := r.members[id]
	if old != nil && old.meta.Boot != t.Boot && old.health < cluster.Dead {
		r.emit(id, old.meta.Boot, cluster.Dead) // started anew before anyone missed it
	}
	m := &member{meta: t, health: health, ip: slices.Clone(n.Addr), port: n.Port}
	switch {
	case health == 0 && old != nil && old.meta.Boot == t.Boot:
		m.health = old.health
	case health == 0:
		m.health = cluster.Alive
	case health == cluster.Dead && t.Leaving:
		m.health = cluster.Departed
	}
	r.members[id] = m
	if old == nil || old.health != m.health || old.meta.Boot != t.Boot {
		r.emit(id, t.Boot, m.health)
	}
	r.wake()
}

// mark takes a suspicion, or its end.
func (r *roster) mark(id cluster.NodeID, boot string, from, to cluster.Health) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if m := r.members[id]; m != nil && m.meta.Boot == boot && m.health == from {
		m.health = to
		r.emit(id, boot, to)
		r.wake()
	}
}

// emit queues an event, in place of one of the same start that waits. r.mu is
// held.
func (r *roster) emit(id cluster.NodeID, boot string, h cluster.Health) {
	r.pending = slices.DeleteFunc(r.pending, func(e cluster.MemberEvent) bool { return e.Node == id && e.Boot == boot })
	r.pending = append(r.pending, cluster.MemberEvent{Node: id, Boot: boot, Health: h})
}

// wake has all who wait for a change look again. r.mu is held.
func (r *roster) wake() {
	close(r.changed)
	r.changed = make(chan struct{})
}

// pump hands out events until ctx ends.
func (r *roster) pump(ctx context.Context) {
	defer close(r.out)
	for {
		r.mu.Lock()
		changed := r.changed
		var out chan cluster.MemberEvent
		var next cluster.MemberEvent
		if len(r.pending) > 0 {
			out, next = r.out, r.pending[0]
		}
		r.mu.Unlock()
		select {
		case out <- next:
			r.mu.Lock()
			r.pending = slices.DeleteFunc(r.pending, func(e cluster.MemberEvent) bool { return e == next })
			r.mu.Unlock()
		case <-changed:
		case <-ctx.Done():
			return
		}
	}
}

// present are the members that are not dead, in the order of their names.
func (r *roster) present() (ids []cluster.NodeID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, m := range r.members {
		if m.health < cluster.Dead {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

func (r *roster) get(id cluster.NodeID) (member, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if m := r.members[id]; m != nil {
		return *m, true
	}
	return member{}, false
}

// lost are the addresses of members that died.
func (r *roster) lost() (addrs []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range r.members {
		if m.health == cluster.Dead {
			addrs = append(addrs, net.JoinHostPort(m.ip.String(), strconv.Itoa(int(m.port))))
		}
	}
	slices.Sort(addrs)
	return addrs
}

// behind are the members that do not use a keyring yet, and what to wait for.
func (r *roster) behind(epoch uint64) (ids []cluster.NodeID, changed <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, m := range r.members {
		if m.health < cluster.Dead && m.meta.Keys < epoch {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids, r.changed
}
