package gen

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"

	"github.com/espalier-ml/espalier/cluster"
)

// Phase is where a generation stands.
type Phase string

// The phases of a generation, in the order in which it goes through them.
const (
	Forming  Phase = "forming"  // written; the members take it up and open their transport
	Running  Phase = "running"  // all members opened it
	Draining Phase = "draining" // the members leave it at a common step boundary
	Done     Phase = "done"     // all members completed the job; nothing follows
)

// Record is the value of the key [KeyHead]: the newest generation. N, Prev
// and Nodes are what the chain covers and never change for an n; the rest
// moves while the generation lives.
type Record struct {
	N     uint64         `json:"n"`
	Prev  cluster.Digest `json:"prev"` // chain of generation N-1, zero for the first
	Nodes []cluster.Node `json:"nodes"`

	Phase Phase          `json:"phase"`
	Term  uint64         `json:"term"` // of the leader that wrote it; never falls
	By    cluster.NodeID `json:"by"`   // that leader
	Cause string         `json:"cause"`
	// Noticed is how long the leader knew of the cause before it wrote the record.
	Noticed int64 `json:"noticed_ns,omitempty"`
	// Marks are what is held against nodes, members or not.
	Marks []Mark `json:"marks,omitempty"`
	// Fails counts the generations before this one, in a row, that did not get anywhere.
	Fails int `json:"fails,omitempty"`
	// Open are the generations before this one of which it was not known, when
	// this one was formed, that a member had stopped them. This one has a member of each.
	Open []Group `json:"open,omitempty"`
	// Restored: put back by a member after the store lost it.
	Restored bool `json:"restored,omitempty"`

	chain cluster.Digest
	rev   cluster.Rev
}

// Group is who was in a generation.
type Group struct {
	N     uint64  `json:"n"`
	Nodes []Start `json:"nodes"`
}

// Start is one start of a node.
type Start struct {
	Node cluster.NodeID `json:"node"`
	Boot string         `json:"boot"`
}

// Mark is what is held against a node.
type Mark struct {
	Node    cluster.NodeID `json:"node"`
	Boot    string         `json:"boot"`
	N       uint64         `json:"n"`       // newest generation that was formed without it or broke over it
	Strikes int            `json:"strikes"` // times it was left out for cause
	Blamed  int            `json:"blamed"`  // generations in a row that broke with it blamed, though it was alive
	Out     bool           `json:"out"`     // left out of generation N
	Why     string         `json:"why"`
}

// Link is the value of a key log.<n>: what it takes to check that a chain
// extends another.
type Link struct {
	N    uint64         `json:"n"`
	Prev cluster.Digest `json:"prev"`
	Body cluster.Digest `json:"body"`
}

// Chain is the hash of the link and, through Prev, of all before.
func (l Link) Chain() cluster.Digest {
	var b [2*len(l.Prev) + 8]byte
	binary.BigEndian.PutUint64(b[:8], l.N)
	copy(b[8:], l.Prev[:])
	copy(b[8+len(l.Prev):], l.Body[:])
	return sha256.Sum256(b[:])
}

// Link returns the link of the record.
func (r *Record) Link() Link {
	h := sha256.New()
	field := func(s string) {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(s)))
		h.Write(n[:])
		h.Write([]byte(s))
	}
	for _, x := range r.Nodes {
		field("node")
		for _, s := range []string{string(x.ID), x.Boot, x.Host, x.Build, x.Job} {
			field(s)
		}
		for _, w := range x.Workers {
			field(w)
		}
	}
	l := Link{N: r.N, Prev: r.Prev}
	h.Sum(l.Body[:0])
	return l
}

// Chain is the hash of the record and of all before.
func (r *Record) Chain() cluster.Digest { return r.chain }

// Generation is the record as agents know it.
func (r *Record) Generation() *cluster.Generation {
	return &cluster.Generation{N: r.N, Chain: r.chain, Nodes: r.Nodes}
}

// member returns the place of a node in the record, nil if it is no member.
func (r *Record) member(id cluster.NodeID) *cluster.Node {
	if r == nil {
		return nil
	}
	for i := range r.Nodes {
		if r.Nodes[i].ID == id {
			return &r.Nodes[i]
		}
	}
	return nil
}

// has reports whether this very start of a node is a member.
func (r *Record) has(id cluster.NodeID, boot string) bool {
	x := r.member(id)
	return x != nil && x.Boot == boot
}

func (r *Record) mark(id cluster.NodeID) *Mark {
	if r == nil {
		return nil
	}
	for i := range r.Marks {
		if r.Marks[i].Node == id {
			return &r.Marks[i]
		}
	}
	return nil
}

// ParseRecord reads a record and checks what can be checked of it alone.
func ParseRecord(b []byte) (*Record, error) {
	r := new(Record)
	if err := json.Unmarshal(b, r); err != nil {
		return nil, fmt.Errorf("generation record: %w", err)
	}
	if r.N == 0 || len(r.Nodes) == 0 {
		return nil, fmt.Errorf("generation record %d: %d members", r.N, len(r.Nodes))
	}
	switch r.Phase {
	case Forming, Running, Draining, Done:
	default:
		return nil, fmt.Errorf("generation record %d: unknown phase %q", r.N, r.Phase)
	}
	seen := make(map[cluster.NodeID]bool, len(r.Nodes))
	for _, x := range r.Nodes {
		if x.ID == "" || seen[x.ID] || len(x.Workers) == 0 {
			return nil, fmt.Errorf("generation record %d: node %q is named twice or has no workers", r.N, x.ID)
		}
		seen[x.ID] = true
	}
	r.chain = r.Link().Chain()
	return r, nil
}

func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // our own types always marshal
	}
	return b
}
