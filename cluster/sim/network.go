package sim

import (
	"time"

	"github.com/espalier-ml/espalier/cluster"
	"github.com/espalier-ml/espalier/cluster/gen"
)

// network holds what is cut between nodes, plane by plane.
type network struct {
	w       *world
	data    [][]int // data[a][b] > 0: nothing gets from a to b
	gossips [][]int
	control []int // control[a] > 0: a does not reach the store
	slow    int   // > 0: everything takes long
	lossy   int   // > 0: messages to the store and of gossip get lost

	held  []held
	since [][]time.Duration // since[a][b]: when b was last heard by a
	said  [][]said
}

// held is a message that waits behind a cut, as in TCP.
type held struct {
	from, to int
	f        func()
}

type said struct {
	health cluster.Health
	boot   string
	at     time.Duration
}

func (n *network) init(w *world) {
	n.w = w
	k := w.sched.Nodes
	n.control = make([]int, k)
	for range k {
		n.data = append(n.data, make([]int, k))
		n.gossips = append(n.gossips, make([]int, k))
		n.since = append(n.since, make([]time.Duration, k))
		n.said = append(n.said, make([]said, k))
	}
}

func (n *network) delay() time.Duration {
	if n.slow > 0 {
		return n.w.between(20*time.Millisecond, 150*time.Millisecond)
	}
	return n.w.between(200*time.Microsecond, 6*time.Millisecond)
}

// send carries a message of the data plane; a cut holds it back.
func (n *network) send(from, to int, f func()) {
	n.w.after(n.delay(), func() {
		if n.data[from][to] > 0 {
			n.held = append(n.held, held{from, to, f})
			return
		}
		f()
	})
}

// release delivers what no cut holds any more.
func (n *network) release() {
	old := n.held
	n.held = nil
	for _, h := range old {
		if n.data[h.from][h.to] > 0 {
			n.held = append(n.held, h)
		} else {
			n.w.after(n.delay(), h.f)
		}
	}
}

// The time gossip takes to suspect and to give up a node.
const (
	gossipEvery   = 250 * time.Millisecond
	gossipSuspect = 800 * time.Millisecond
	gossipDead    = 2 * time.Second
)

// gossip lets every node hear of the others, for as long as the run lasts.
func (n *network) gossip() {
	for _, a := range n.w.nodes {
		if !a.up || a.paused {
			continue
		}
		seen := n.hears(a.index)
		for _, b := range n.w.nodes {
			if a == b {
				continue
			}
			h := &n.said[a.index][b.index]
			if seen[b.index] {
				n.since[a.index][b.index] = n.w.now
				if h.health != cluster.Alive || h.boot != b.bootID {
					*h = said{cluster.Alive, b.bootID, n.w.now}
					n.tell(a, b, *h)
				}
				continue
			}
			silent := n.w.now - n.since[a.index][b.index]
			next := h.health
			if silent > gossipSuspect && h.health == cluster.Alive {
				next = cluster.Suspect
			}
			if silent > gossipDead && h.health == cluster.Suspect {
				next = cluster.Dead
			}
			if next != h.health {
				h.health, h.at = next, n.w.now
				n.tell(a, b, *h)
			}
		}
	}
	n.w.after(gossipEvery, n.gossip)
}

// hears returns whom a node hears of, directly or through others.
func (n *network) hears(a int) []bool {
	k := len(n.w.nodes)
	seen := make([]bool, k)
	todo := []int{a}
	seen[a] = true
	for len(todo) > 0 {
		x := todo[0]
		todo = todo[1:]
		for y := range k {
			p := n.w.nodes[y]
			if !seen[y] && p.up && !p.paused && n.gossips[x][y] == 0 && n.gossips[y][x] == 0 && !(n.lossy > 0 && n.w.chance(0.3)) {
				seen[y] = true
				todo = append(todo, y)
			}
		}
	}
	return seen
}

func (n *network) tell(a, b *proc, s said) {
	e := cluster.MemberEvent{Node: b.id, Boot: s.boot, Health: s.health}
	n.w.after(n.delay(), a.alive(func() { a.input(gen.Heard{Member: e}) }))
}

// restarted forgets what a node heard in its earlier life.
func (n *network) restarted(a int) {
	for b := range n.said[a] {
		n.said[a][b], n.since[a][b] = said{}, n.w.now
	}
	lossy := n.lossy
	n.lossy = 0 // joining asks a member for all it knows
	seen := n.hears(a)
	n.lossy = lossy
	for b, p := range n.w.nodes {
		if b != a && seen[b] {
			n.said[a][b] = said{cluster.Alive, p.bootID, n.w.now}
			n.w.nodes[a].input(gen.Heard{Member: cluster.MemberEvent{Node: p.id, Boot: p.bootID, Health: cluster.Alive}})
		}
	}
}
