// Package cluster is the contract between the agent of a node and whatever
// decides which nodes train together.
//
// A run proceeds in generations. A [Generation] is a list of nodes with the
// workers they bring; its order gives the ranks. It never changes: when a
// node dies, hangs, joins or leaves, the next generation takes its place. A
// generation exists if and only if its record was written to a [Store] by
// compare-and-swap; the records of a run form a hash chain that every node
// keeps a copy of. Gossip supplies candidates and suspicions ([Members]) and
// decides nothing. Losing the store stops changes, never training.
//
// The agent talks to a [Session]: it announces the workers that are ready,
// receives orders, and reports what became of them.
//
//	for o := range session.Orders() {
//		switch o.Kind {
//		case cluster.Form:     // tell the workers; Opened when all have, else Broke
//		case cluster.Drain:    // ask them to stop at a step boundary, then Drained
//		case cluster.Abort:    // break their communicator now
//		...
//		}
//	}
//
// # What it leaves to others
//
// Processes and workers (launch), gradients and the state of training, which
// workers bring in line among themselves once a generation has formed
// (trainer, collective). Sub-packages: gen (the machine that decides, a pure
// function), node (the session around it), control (stores: memory and NATS),
// gossip (memberlist), secure (certificates, tokens, keys), detect (clocks
// and deadlines), sim (all of it under a simulated clock, network and store).
package cluster

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"time"
)

// NodeID names a node for the length of a run.
type NodeID string

// Digest is a SHA-256.
type Digest [32]byte

func (d Digest) String() string { return hex.EncodeToString(d[:8]) }

// MarshalText writes all of the digest in hexadecimal.
func (d Digest) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, d[:]), nil }

// UnmarshalText reads what MarshalText wrote.
func (d *Digest) UnmarshalText(b []byte) error {
	if n := hex.DecodedLen(len(b)); n != len(d) || len(b) != 2*len(d) {
		return fmt.Errorf("digest of %d characters, want %d", len(b), 2*len(d))
	}
	_, err := hex.Decode(d[:], b)
	return err
}

// Node is what a node tells the others about itself.
type Node struct {
	ID   NodeID `json:"id"`
	Boot string `json:"boot"` // drawn anew at every start: a node that comes back is another
	Host string `json:"host"` // name of the machine, for people and for the order of ranks
	// Workers are the addresses (host:port) at which the workers that are
	// ready now take connections from their peers, in local order. A node
	// without any is no candidate.
	Workers []string `json:"workers"`
	Build   string   `json:"build"` // version of the program; must be equal
	Job     string   `json:"job"`   // digest of the resolved job; must be equal
	Step    uint64   `json:"step"`  // newest state that the node holds, in memory or on disk; 0 if none
}

// Generation is one formation of a run.
type Generation struct {
	N     uint64 `json:"n"` // from 1, never falls
	Chain Digest `json:"-"` // hash of this record and, through its predecessor, of all before
	Nodes []Node `json:"nodes"`
}

// World is the number of ranks.
func (g *Generation) World() (n int) {
	for _, x := range g.Nodes {
		n += len(x.Workers)
	}
	return n
}

// Ranks returns the first rank of a node and how many it has; n is 0 for a
// node that is not in the generation.
func (g *Generation) Ranks(id NodeID) (first, n int) {
	for _, x := range g.Nodes {
		if x.ID == id {
			return first, len(x.Workers)
		}
		first += len(x.Workers)
	}
	return 0, 0
}

// OrderKind says what an Order asks for.
type OrderKind uint8

// The orders.
const (
	Form     OrderKind = iota + 1 // form the generation; answer Opened or Broke
	Drain                         // leave generation N at a common step boundary; answer Drained
	Abort                         // leave generation N at once, Cause says why
	Left                          // the node has left the run, as it asked for
	Finished                      // the run is complete
	Excluded                      // the run goes on without this node; Cause says why
)

func (k OrderKind) String() string {
	names := [...]string{"none", "form", "drain", "abort", "left", "finished", "excluded"}
	if int(k) < len(names) {
		return names[k]
	}
	return "unknown order"
}

// Order is what a session asks of an agent. After Left, Finished or Excluded
// there are no more.
type Order struct {
	Kind       OrderKind
	N          uint64      // the generation meant
	Generation *Generation // of Form
	Cause      string      // of Abort and Excluded
}

// Fault is what an agent knows about the end of a generation.
type Fault struct {
	Why   string // one line: who, what, when
	Blame NodeID // the node at fault, empty if unknown
	Proof bool   // the node is gone for certain: its process ended, its connections were reset
}

// Session is a node's membership in a run. Methods return at once and may be
// called from any goroutine; what they cause comes back as orders.
type Session interface {
	// Orders is closed after the last order and by Close.
	Orders() <-chan Order
	// Announce says which workers are ready now, and the newest step whose
	// state the node holds. More, fewer or other workers than before make a
	// new generation: at a boundary if the current one still works. When
	// workers died, announce those that are left before Broke, so that the
	// next generation is formed without the dead. Announce the step at Broke
	// too: a group never goes on from a state older than a living node holds.
	Announce(workers []string, step uint64)
	// Opened says that all local workers have opened generation n.
	Opened(n uint64)
	// Drained says that all local workers left generation n as ordered.
	Drained(n uint64)
	// Broke says that generation n cannot go on here.
	Broke(n uint64, f Fault)
	// Leave asks to leave the run at the next boundary.
	Leave()
	// Finish says that the local workers have completed the job.
	Finish()
	// View is a copy of what the node knows, for status displays.
	View() View
	// Close ends the session without asking anybody.
	Close(ctx context.Context) error
}

// View is a node's picture of the run.
type View struct {
	Self       NodeID
	Phase      string // idle, forming, running, draining, done, ...
	Generation Generation
	Leader     NodeID
	Candidates []Node            // announced nodes, members or not
	Suspects   map[NodeID]string // with the reason
	History    []Reform          // the last formations, oldest first
}

// Reform is a formation with its phases timed.
type Reform struct {
	N       uint64
	Cause   string
	World   int
	At      time.Time
	Noticed time.Duration // first report to the decision to form
	Formed  time.Duration // to the record being written
	Opened  time.Duration // to all members having opened it
}

// What a Store reports.
var (
	ErrNotFound = errors.New("no such key")
	ErrExists   = errors.New("key exists")
	ErrConflict = errors.New("key was changed by another")
)

// Rev is the revision of a key.
type Rev uint64

// Entry is a key with its value.
type Entry struct {
	Key     string
	Value   []byte
	Rev     Rev
	Deleted bool
}

// Store is a small key-value store with compare-and-swap. Create and Update
// decide; Get and Watch may be behind. An error other than those above leaves
// open whether a write took place. Values are at most 64 KiB.
type Store interface {
	Get(ctx context.Context, key string) (Entry, error)
	Create(ctx context.Context, key string, value []byte) (Rev, error)
	Update(ctx context.Context, key string, value []byte, at Rev) (Rev, error)
	// Watch sends the present entries under a prefix and then every change.
	// It may leave out intermediate values of a key. The channel is closed
	// when ctx ends or the store is lost for good.
	Watch(ctx context.Context, prefix string) (<-chan Entry, error)
	Close() error
}

// Health is what gossip says about a member.
type Health uint8

// The states of a member.
const (
	Alive Health = iota + 1
	Suspect
	Dead
	Departed // left on its own
)

func (h Health) String() string {
	return [...]string{"unknown", "alive", "suspect", "dead", "departed"}[min(h, 4)]
}

// MemberEvent is a change of what gossip says.
type MemberEvent struct {
	Node   NodeID
	Boot   string
	Health Health
}

// Members is gossip. Publish spreads a few hundred bytes about this node.
type Members interface {
	Events() <-chan MemberEvent
	Close(ctx context.Context) error
}
