package agent

import (
	"fmt"
	"os"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/espalier-ml/espalier/cluster"
	"github.com/espalier-ml/espalier/collective"
	"github.com/espalier-ml/espalier/collective/shm"
	"github.com/espalier-ml/espalier/launch/supervise"
	"github.com/espalier-ml/espalier/trainer/metrics"
)

// order carries out what the session asks.
func (a *agent) order(o cluster.Order) {
	a.Log.Debug("order", zap.Stringer("kind", o.Kind), zap.Uint64("gen", o.N), zap.String("cause", o.Cause))
	current := a.generation != nil && o.N == a.generation.N
	switch o.Kind {
	case cluster.Form:
		a.form(o.Generation)
	case cluster.Drain:
		if current {
			a.drain = true
			a.tellAll(order{Do: doDrain, N: o.N})
			a.progress()
		}
	case cluster.Abort:
		if current {
			a.abort(o.Cause)
		}
	case cluster.Left:
		a.end(stopping)
		a.tellAll(order{Do: doLeave})
	case cluster.Finished:
		a.Log.Info("the run is complete")
		a.end(complete)
		a.tellAll(order{Do: doLeave})
	case cluster.Excluded:
		a.fail(fmt.Errorf("%w: %s", ErrExcluded, o.Cause))
	}
}

// form seats the workers in a new generation.
func (a *agent) form(g *cluster.Generation) {
	a.abort(fmt.Sprintf("generation %d takes its place", g.N))
	a.dissolve()
	a.generation, a.over, a.drain = g, false, false
	first, n := g.Ranks(a.Node)
	if n == 0 {
		a.over = true
		return
	}
	crew, err := a.seated(g, first, n)
	if err == nil {
		err = a.seat(g, crew, first)
	}
	if err != nil {
		a.broke(a.fault("%v", err))
	}
}

// seated finds the workers that a generation counts on.
func (a *agent) seated(g *cluster.Generation, first, n int) (crew []*worker, err error) {
	for _, addr := range addresses(g)[first : first+n] {
		for _, w := range a.workers {
			if w.addr == addr {
				crew = append(crew, w)
			}
		}
	}
	if len(crew) != n {
		return nil, fmt.Errorf("%d of %d workers are not there any more", n-len(crew), n)
	}
	return crew, nil
}

// seat tells each worker its place.
func (a *agent) seat(g *cluster.Generation, crew []*worker, first int) error {
	s := seat{Run: a.runID(), Chain: g.Chain[:], Transport: transport(g), Peers: addresses(g), Locals: len(crew), Spin: supervise.Spin(len(crew))}
	var files []*os.File
	if s.Transport == byShm || s.Transport == byHier {
		var err error
		if a.host, err = shm.Create(len(crew), s.gen(g.N)); err != nil {
			return err
		}
		files = []*os.File{a.host.File()}
	}
	if s.Transport == byTCP || s.Transport == byHier {
		s.Owners = owners(g)
		if a.Papers != nil {
			s.Papers = a.Papers()
		}
	}
	for i, w := range crew {
		w.n, w.local, w.opened, w.parted = g.N, i, false, false
		s.Rank, s.Local = first+i, i
		if err := w.tell(order{Do: doForm, N: g.N, Seat: &s}, files...); err != nil {
			w.kill() // it does not listen
			return fmt.Errorf("worker %d does not take orders: %w", w.index, err)
		}
	}
	a.Log.Info("forming", zap.Uint64("gen", g.N), zap.Int("world", g.World()), zap.Int("nodes", len(g.Nodes)), zap.String("transport", s.Transport), zap.Int("rank", first))
	return nil
}

// addresses lists the workers of a generation by rank.
func addresses(g *cluster.Generation) (all []string) {
	for _, n := range g.Nodes {
		all = append(all, n.Workers...)
	}
	return all
}

// owners lists the nodes of a generation by rank.
func owners(g *cluster.Generation) (all []cluster.NodeID) {
	for _, n := range g.Nodes {
		for range n.Workers {
			all = append(all, n.ID)
		}
	}
	return all
}

// transport follows from the record of a generation, so that all nodes choose
// the same.
func transport(g *cluster.Generation) string {
	hosts, local := len(g.Nodes), len(g.Nodes[0].Workers)
	equal := true
	for _, n := range g.Nodes {
		equal = equal && len(n.Workers) == local
	}
	switch {
	case g.World() == 1:
		return bySolo
	case hosts == 1:
		return byShm
	case equal && local > 1 && local&(local-1) == 0 && hosts&(hosts-1) == 0:
		return byHier
	}
	return byTCP
}

// hear takes in what a worker says.
func (a *agent) hear(m message) {
	w := m.w
	if m.spawn != w.spawn {
		return
	}
	w.heard = time.Now()
	if p := m.Progress; p != nil {
		w.progress, w.step = *p, max(w.step, p.Step)
	}
	current := a.generation != nil && m.N == a.generation.N && w.n == m.N
	switch m.Say {
	case sayReady:
		w.addr = m.Addr
		a.announce()
	case sayOpened:
		w.due = time.Time{}
		w.opened = w.opened || current
		a.progress()
	case sayDrained:
		w.due = time.Time{}
		w.parted = w.parted || current
		a.progress()
	case sayBroke:
		w.due = time.Time{}
		w.parted = w.parted || current
		if current {
			if m.Hang && !a.over {
				a.inquire()
			}
			a.broke(a.blame(m.report))
		}
	case sayTail:
		a.testify(m.report)
	case sayRecord:
		a.record(m.Record)
	default:
		a.concluded(w, m.report)
	}
}

// concluded is the end of training on a worker. The first worker of the node
// speaks for all: it is the one that has saved the result.
func (a *agent) concluded(w *worker, r report) {
	switch r.Say {
	case sayDone:
		w.ended = true
		if w.local == 0 {
			a.done = true
			a.end(complete)
			a.tellAll(order{Do: doLeave}) // those that were waiting to join
		}
	case sayStopped:
		w.ended = true
	case sayFailed:
		if w.addr == "" && w.spawn > 1 && a.alive() > 1 {
			w.reason = r.Cause // it could not start, perhaps for now: the others show that the job works
			return
		}
		w.ended = true
		a.fail(&FailedError{Worker: w.index, Text: r.Cause, Config: r.Config})
	}
}

// blame turns a worker's report into a fault of a node.
func (a *agent) blame(r report) cluster.Fault {
	f := cluster.Fault{Why: r.Cause}
	for _, n := range a.generation.Nodes {
		first, k := a.generation.Ranks(n.ID)
		here := func(rank int) bool { return rank >= first && rank < first+k }
		if n.ID != a.Node && slices.ContainsFunc(r.Blame, here) {
			f.Blame, f.Proof = n.ID, r.Proof
			return f // of several the first: the others show at the next attempt
		}
	}
	return f
}

// progress tells the session what all local workers have reached.
func (a *agent) progress() {
	if a.over || a.generation == nil {
		return
	}
	opened, parted := true, true
	any := false
	for _, w := range a.workers {
		if w.n == a.generation.N {
			opened, parted, any = opened && w.opened, parted && w.parted, true
		}
	}
	n := a.generation.N
	switch {
	case !any:
	case parted && a.drain:
		a.over = true
		a.Session.Drained(n)
	case parted:
		a.broke(a.fault("the workers were asked by others to leave generation %d", n))
	case opened && a.said != n:
		a.said = n
		a.Session.Opened(n)
	}
}

// broke ends the generation on this node and says why.
func (a *agent) broke(f cluster.Fault) {
	if a.over || a.generation == nil {
		return
	}
	n := a.generation.N
	a.abort(f.Why)
	a.Log.Info("generation broke", zap.Uint64("gen", n), zap.String("why", f.Why))
	a.Session.Broke(n, f)
}

// abort breaks the communicator of the local workers.
func (a *agent) abort(why string) {
	if a.over || a.generation == nil {
		return
	}
	a.over = true
	if a.host != nil {
		a.host.Abort(collective.NoRank, why)
	}
	for _, w := range a.workers {
		if w.n == a.generation.N && !w.parted {
			if w.due.IsZero() { // else it has yet to leave an earlier one
				w.due = time.Now().Add(a.Settle)
			}
			w.tell(order{Do: doAbort, N: a.generation.N, Cause: why})
		}
	}
}

// settle replaces workers that do not come out of a generation that is over.
func (a *agent) settle(now time.Time) {
	for _, w := range a.workers {
		if w.proc != nil && !w.due.IsZero() && now.After(w.due) {
			a.Log.Warn("worker does not leave a generation that broke: killing it", zap.Int("worker", w.index))
			w.due = time.Time{}
			w.kill()
		}
	}
}

// dissolve gives back what the generation holds here.
func (a *agent) dissolve() {
	if a.host != nil {
		a.host.Close()
		a.host = nil
	}
}

// record passes a record on. What a worker repeats after another has taken the
// same step is left out.
func (a *agent) record(line []byte) {
	r, err := metrics.Decode(line)
	if err != nil {
		a.Log.Error("record lost", zap.Error(err))
		return
	}
	a.Record(r)
}
