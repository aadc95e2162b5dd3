package agent

import (
	"fmt"
	"slices"
	"testing"

	"github.com/espalier-ml/espalier/cluster"
	"github.com/espalier-ml/espalier/collective"
)

// What rank 0 of four nodes, of two workers each, says of a communicator's end.
func TestBlame(t *testing.T) {
	g := &cluster.Generation{N: 1}
	for _, id := range []cluster.NodeID{"a", "b", "c", "d"} {
		g.Nodes = append(g.Nodes, cluster.Node{ID: id, Workers: make([]string, 2)})
	}
	for _, c := range []struct {
		name  string
		err   error
		blame cluster.NodeID
		proof bool
	}{
		{"silent, noticed here", &collective.AbortError{By: 0, Kind: collective.ErrDeadline, Missing: []collective.Rank{5}}, "c", false},
		{"silent, noticed by another as well", &collective.AbortError{By: 2, Kind: collective.ErrDeadline, Missing: []collective.Rank{5}}, "c", false},
		{"silent to another alone", &collective.AbortError{By: 2, Kind: collective.ErrDeadline}, "", false},
		{"gone", &collective.AbortError{By: 7, Missing: []collective.Rank{7}}, "d", true},
		{"a worker of the same node", &collective.AbortError{By: 0, Kind: collective.ErrDeadline, Missing: []collective.Rank{1}}, "", false},
		{"both nodes are missed", &collective.AbortError{By: 0, Kind: collective.ErrDeadline, Missing: []collective.Rank{1, 4, 6}}, "c", false},
		{"this rank, others say", &collective.AbortError{By: 2, Kind: collective.ErrDeadline, Missing: []collective.Rank{0}}, "", false},
		{"another aborts", &collective.AbortError{By: 3, Reason: "no memory"}, "b", true},
		{"left while needed", &collective.AbortError{By: 3, Kind: collective.ErrClosed}, "b", false},
		{"the supervisor", &collective.AbortError{By: collective.NoRank}, "", false},
		{"no communicator's error", fmt.Errorf("disk full"), "", false},
	} {
		a := &agent{Config: Config{Node: "a"}, generation: g}
		ranks, proof := blame(c.err, &seat{Rank: 0})
		f := a.blame(report{Cause: "x", Blame: ranks, Proof: proof})
		if f.Blame != c.blame || f.Proof != c.proof || f.Why != "x" || slices.Contains(ranks, 0) {
			t.Errorf("%s: blame %q, proof %v (ranks %v), want %q, %v", c.name, f.Blame, f.Proof, ranks, c.blame, c.proof)
		}
	}
}
