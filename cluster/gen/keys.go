package gen

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/espalier-ml/espalier/cluster"
)

// The keys of a run. Each has one writer at a time: the leader writes
// KeyHead and the log, a node its own two keys.
const (
	KeyLeader = "leader" // Leader
	KeyHead   = "gen"    // Record
	keyLog    = "log."   // log.<n>: Link
	keyNode   = "node."  // node.<id>: Announcement
	keyAck    = "ack."   // ack.<id>: Ack
)

// KeyLog is the key of the link of generation n.
func KeyLog(n uint64) string { return keyLog + strconv.FormatUint(n, 10) }

// KeyNode is the key of a node's announcement.
func KeyNode(id cluster.NodeID) string { return keyNode + string(id) }

// KeyAck is the key under which a node says how it stands in its generation.
func KeyAck(id cluster.NodeID) string { return keyAck + string(id) }

// Leader is the value of KeyLeader. Leadership is the right to propose, no
// more; losing it stops nothing.
type Leader struct {
	Node     cluster.NodeID `json:"node"`
	Boot     string         `json:"boot"`
	Term     uint64         `json:"term"`
	Beat     uint64         `json:"beat"`
	Resigned bool           `json:"resigned,omitempty"`
	// Store names the life of the store: drawn by whoever creates the key,
	// kept by all who update it. Another one means that the store was emptied.
	Store string `json:"store"`
}

// Announcement is the value of a key node.<id>: a cluster.Node and what the
// node has kept of the run.
type Announcement struct {
	cluster.Node
	N       uint64 `json:"n"` // newest generation that the node has on its disk
	Leaving bool   `json:"leaving,omitempty"`
	Left    bool   `json:"left,omitempty"` // takes part in nothing any more
	Done    bool   `json:"done,omitempty"`
}

// Ack is the value of a key ack.<id>: how a node stands in generation N.
type Ack struct {
	Boot    string         `json:"boot"`
	N       uint64         `json:"n"`
	Opened  bool           `json:"opened,omitempty"`
	Drained bool           `json:"drained,omitempty"`
	Done    bool           `json:"done,omitempty"`
	Broken  bool           `json:"broken,omitempty"`
	Why     string         `json:"why,omitempty"`
	Blame   cluster.NodeID `json:"blame,omitempty"`
	Proof   bool           `json:"proof,omitempty"`
}

// CheckID says whether a name can be a node's: it becomes part of keys.
func CheckID(id cluster.NodeID) error {
	ok := len(id) > 0 && len(id) <= 64
	for _, c := range string(id) {
		ok = ok && (c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_')
	}
	if !ok {
		return fmt.Errorf("node name %q: want 1 to 64 letters, digits, '-' or '_'", id)
	}
	return nil
}

func cutKey(key, prefix string) (cluster.NodeID, bool) {
	rest, ok := strings.CutPrefix(key, prefix)
	return cluster.NodeID(rest), ok && rest != ""
}
