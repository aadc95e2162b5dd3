package agent

import (
	"encoding/json"
	"time"

	"github.com/espalier-ml/espalier/cluster"
	"github.com/espalier-ml/espalier/collective"
	"github.com/espalier-ml/espalier/collective/record"
	"github.com/espalier-ml/espalier/trainer"
)

// order is what the agent tells a worker.
type order struct {
	Do    string `json:"do"`
	N     uint64 `json:"n,omitempty"`     // the generation meant
	Cause string `json:"cause,omitempty"` // of abort
	Seat  *seat  `json:"seat,omitempty"`  // of form
}

// What a worker is told to do.
const (
	doForm  = "form"  // take the seat in generation N
	doDrain = "drain" // leave generation N at the next boundary, with all others
	doAbort = "abort" // leave generation N at once
	doTail  = "tail"  // say which operations of generation N were the last
	doStop  = "stop"  // save and end at the next boundary, with all others
	doLeave = "leave" // end; others go on
)

// seat is a worker's place in a generation. A shared memory group comes with
// it as a file.
type seat struct {
	Run       []byte        `json:"run"`
	Chain     []byte        `json:"chain"`
	Transport string        `json:"transport"`
	Rank      int           `json:"rank"`
	Peers     []string      `json:"peers"` // addresses by rank
	Local     int           `json:"local"` // rank among the workers of the node
	Locals    int           `json:"locals"`
	Spin      time.Duration `json:"spin"`

	// Of connections: the node of each rank, and what this one shows.
	Owners []cluster.NodeID `json:"owners,omitempty"`
	Papers []byte           `json:"papers,omitempty"`
}

// The transports.
const (
	bySolo = "solo"
	byShm  = "shm"  // all ranks on one node
	byTCP  = "tcp"  // over connections
	byHier = "hier" // shared memory within a node, connections between
)

// gen is the identity of the seat's group.
func (s *seat) gen(n uint64) collective.Gen {
	g := collective.Gen{N: n}
	copy(g.Run[:], s.Run)
	copy(g.Chain[:], s.Chain)
	return g
}

// alone reports whether the node has the generation for itself.
func (s *seat) alone() bool { return s.Locals == len(s.Peers) }

// report is what a worker tells its agent.
type report struct {
	Say    string          `json:"say"`
	N      uint64          `json:"n,omitempty"`
	Addr   string          `json:"addr,omitempty"`  // of ready
	Cause  string          `json:"cause,omitempty"` // of broke, failed
	Blame  []int           `json:"blame,omitempty"` // of broke: the ranks at fault
	Proof  bool            `json:"proof,omitempty"` // of broke: they are gone for certain
	Hang   bool            `json:"hang,omitempty"`  // of broke: by a deadline, or since ranks did not do the same
	Tail   *record.Tail    `json:"tail,omitempty"`
	Config bool            `json:"config,omitempty"` // of failed: the job cannot work as given
	Record json.RawMessage `json:"record,omitempty"`

	Progress *trainer.Progress `json:"progress,omitempty"`
}

// What a worker says.
const (
	sayBeat    = "beat"    // it lives
	sayReady   = "ready"   // it can take part, at an address
	sayOpened  = "opened"  // its communicator of generation N works
	sayDrained = "drained" // it left generation N at a boundary
	sayBroke   = "broke"   // generation N cannot go on
	sayTail    = "tail"    // what it did last in generation N
	sayRecord  = "record"  // for the record of the run
	sayDone    = "done"    // the run is complete
	sayStopped = "stopped" // it ends, as it was asked to
	sayFailed  = "failed"  // it ends by an error of its own
)
