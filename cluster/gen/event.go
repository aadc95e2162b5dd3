package gen

import (
	"fmt"
	"time"

	"github.com/espalier-ml/espalier/cluster"
)

// Event is something that happened, at a time on the node's monotonic clock.
type Event struct {
	At time.Duration
	Of Input
}

// Input is one of the types below.
type Input interface{ input() }

// What can happen.
type (
	// Tick comes every Times.Tick, and when a [Wake] is due.
	Tick struct{ Regular bool } // false: of a Wake
	// Seen is a key as the watch of the store shows it.
	Seen struct{ Entry cluster.Entry }
	// Wrote is the outcome of a [Put].
	Wrote struct {
		Put Put
		Rev cluster.Rev
		Err error
	}
	// Fetched is the outcome of a [Fetch].
	Fetched struct {
		Fetch Fetch
		Entry cluster.Entry
		Err   error
	}
	// Saved is the outcome of a [Save].
	Saved struct {
		N   uint64
		Err error
	}
	// Heard is gossip.
	Heard struct{ Member cluster.MemberEvent }
	// Announce, Opened, Drained, Broke, Leave and Finish come from the agent; see cluster.Session.
	Announce struct {
		Workers []string
		Step    uint64
	}
	Opened  struct{ N uint64 }
	Drained struct{ N uint64 }
	Broke   struct {
		N     uint64
		Fault cluster.Fault
	}
	Leave  struct{}
	Finish struct{}
)

func (Tick) input()     {}
func (Seen) input()     {}
func (Wrote) input()    {}
func (Fetched) input()  {}
func (Saved) input()    {}
func (Heard) input()    {}
func (Announce) input() {}
func (Opened) input()   {}
func (Drained) input()  {}
func (Broke) input()    {}
func (Leave) input()    {}
func (Finish) input()   {}

// Action is something to be done, one of the types below.
type Action interface{ action() }

// What can be asked for.
type (
	// Put writes a key: a Create if At is 0, else an Update. Answer with Wrote.
	Put struct {
		Key   string
		Value []byte
		At    cluster.Rev
		life  int
	}
	// Fetch gets a key after Delay. Answer with Fetched.
	Fetch struct {
		Key   string
		Delay time.Duration
		life  int
	}
	// Rewatch ends the watch of the store and starts another: nothing that the old one
	// had to say may come after.
	Rewatch struct{}
	// Save writes the memory to disk, atomically, so that it survives a crash.
	// Answer with Saved.
	Save struct{ Memory Memory }
	// Deliver hands an order to the agent.
	Deliver struct{ Order cluster.Order }
	// Wake asks for a Tick at a time, in place of the one asked for before.
	Wake struct{ At time.Duration }
	// Note is for the log.
	Note struct{ Text string }
)

func (Put) action()     {}
func (Fetch) action()   {}
func (Rewatch) action() {}
func (Save) action()    {}
func (Deliver) action() {}
func (Wake) action()    {}
func (Note) action()    {}

// Memory is what a node keeps on its disk.
type Memory struct {
	N     uint64         `json:"n"`     // newest generation known; anything older is refused
	Chain cluster.Digest `json:"chain"` // its chain; what does not extend it is refused
	Last  *Record        `json:"last,omitempty"`
	Links []Link         `json:"links,omitempty"` // of the last generations up to N, oldest first
}

// Check reports whether the memory is one that a machine can have saved, and
// makes it ready for use after it was read from a file.
func (m *Memory) Check() error {
	if m.N == 0 && m.Last == nil && len(m.Links) == 0 {
		return nil
	}
	if m.Last == nil || m.Last.N != m.N || len(m.Last.Nodes) == 0 {
		return fmt.Errorf("no record of generation %d", m.N)
	}
	m.Last.chain = m.Last.Link().Chain()
	if m.Last.chain != m.Chain {
		return fmt.Errorf("record of generation %d does not have the chain that was kept", m.N)
	}
	for i, l := range m.Links {
		if l.N+uint64(len(m.Links)-1-i) != m.N {
			return fmt.Errorf("link of generation %d out of place", l.N)
		}
	}
	return nil
}

// keepLinks bounds Memory.Links: a node that was away for more generations
// than this finds the rest in the log of the store.
const keepLinks = 256
