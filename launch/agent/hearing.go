package agent

import (
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/espalier-ml/espalier/collective"
	"github.com/espalier-ml/espalier/collective/record"
)

// tailSize is how many operations of a generation a worker remembers. As JSON
// they must fit in a message.
const tailSize = 128

// hearingTime is how long workers have to say what they did. One that hangs
// answers as well: it is training that hangs, not what takes orders.
const hearingTime = time.Second

// hearing finds out who held a generation up that ended by a deadline or
// because ranks did not do the same.
type hearing struct {
	n     uint64 // generation, 0 before the first
	first int    // rank on the node
	whole bool   // all ranks are on this node
	calls int    // workers that were asked
	tails []record.Tail
	due   time.Time // when it ends without those that have not answered, zero if it has ended
}

// inquire asks all workers of the generation what they did last.
func (a *agent) inquire() {
	g, h := a.generation, &a.hearing
	if h.n == g.N {
		return
	}
	if !h.due.IsZero() {
		a.pronounce()
	}
	first, n := g.Ranks(a.Node)
	*h = hearing{n: g.N, first: first, whole: n == g.World(), calls: n, due: time.Now().Add(hearingTime)}
	for _, w := range a.workers {
		if w.n == g.N {
			w.tell(order{Do: doTail, N: g.N})
		}
	}
}

// testify takes a worker's answer. The last one ends the hearing.
func (a *agent) testify(r report) {
	h := &a.hearing
	if r.Tail == nil || r.N != h.n || h.due.IsZero() {
		return
	}
	h.tails = append(h.tails, *r.Tail)
	if len(h.tails) == h.calls {
		a.pronounce()
	}
}

// pronounce ends the hearing with a verdict. That of a node that has only some
// of the ranks is one about those; what it holds against others is in the
// reason for which the generation ended.
func (a *agent) pronounce() {
	h := &a.hearing
	h.due = time.Time{}
	v := h.judge()
	ranks := make([]int, len(v.Ranks))
	for i, r := range v.Ranks {
		ranks[i] = int(r)
	}
	a.Log.Warn("verdict on a generation that did not go on", zap.Uint64("gen", h.n), zap.Bool("all_ranks", h.whole), zap.String("verdict", v.String()),
		zap.String("fault", string(v.Fault)), zap.Ints("ranks", ranks), zap.String("op", v.Op.Op), zap.Uint64("seq", v.Op.Seq), zap.Int32("bucket", v.Op.Bucket))
}

// judge hears the ranks of the node as if they were all.
func (h *hearing) judge() record.Verdict {
	tails := slices.Clone(h.tails)
	for i := range tails {
		tails[i].Rank -= collective.Rank(h.first)
	}
	v := record.Judge(h.calls, tails)
	for i := range v.Ranks {
		v.Ranks[i] += collective.Rank(h.first)
	}
	return v
}
