package main

import (
	"fmt"
	"strings"

	"github.com/espalier-ml/espalier/kernels/philox"
)

// kind is what goes wrong.
type kind int

const (
	killWorker kind = iota // SIGKILL to one worker
	killNode               // SIGKILL to agent and workers; the node comes back
	stopWorker             // SIGSTOP to a worker for a while
	stopNode               // SIGSTOP to agent and workers for a while
	leaveNode              // SIGTERM: the node leaves, and comes back
	cutNode                // the node's link is down for a while
	fillDisk               // no room in the node's run folder for a while
	kinds
)

func (k kind) String() string {
	return [...]string{"kill a worker of", "kill", "stop a worker of", "stop", "ask to leave", "cut off", "fill the disk of"}[k]
}

// fault is one thing that goes wrong when the run has come to a step. A second
// one may follow within the same recovery.
type fault struct {
	at   uint64
	kind kind
	node int
	ms   int // how long it lasts, where it does
}

func (f fault) String() string {
	s := fmt.Sprintf("step %d: %s node %c", f.at, f.kind, 'a'+f.node)
	if f.kind >= stopWorker {
		s += fmt.Sprintf(" for %d ms", f.ms)
	}
	return s
}

// schedule is what goes wrong in a run of so many steps on so many nodes, of
// which the first ones hold control servers: one to four faults, a function of
// the seed. A node that comes back holds none any more, so the first node goes
// only if there are others that do, and of three no second one goes.
func schedule(seed, steps uint64, nodes, control int, allowed []kind) []fault {
	key, next := philox.NewKey(seed, "chaos"), uint32(0)
	draw := func(n int) int {
		next++
		return philox.Below(key.At(philox.Counter{next})[0], n)
	}
	faults := make([]fault, 1+draw(4))
	span := int(steps) / (len(faults) + 1)
	gone := -1
	for i := range faults {
		f := fault{at: uint64(1 + span*i + draw(span)), kind: allowed[draw(len(allowed))], node: draw(nodes), ms: 200 + draw(6800)}
		if i > 0 && draw(3) == 0 {
			f.at = faults[i-1].at // while the last one is not healed
		}
		if goes := f.kind == killNode || f.kind == leaveNode; goes && f.node < control {
			switch {
			case control == 1:
				f.node = 1
			case gone < 0:
				gone = f.node
			default:
				f.node = gone
			}
		}
		faults[i] = f
	}
	return faults
}

func describe(faults []fault) string {
	var all []string
	for _, f := range faults {
		all = append(all, f.String())
	}
	return strings.Join(all, "; ")
}
