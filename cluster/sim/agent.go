package sim

import (
	"fmt"
	"time"

	"github.com/espalier-ml/espalier/cluster"
	"github.com/espalier-ml/espalier/cluster/gen"
)

// state is what training makes: a function of the steps done and nothing else.
type state struct {
	step   uint64
	digest uint64
	cursor uint64 // samples consumed
}

const batch = 32 // samples of a step

// next is the state after one more step on all shards.
func (s state) next() state {
	d := (s.digest ^ (s.step + 1)) * 0x9e3779b97f4a7c15
	return state{step: s.step + 1, digest: d ^ d>>29, cursor: s.cursor + batch}
}

// agent stands for a node's agent and its workers. Its workers train by the
// step-and-commit rule: a step is done when the parts of all members are in.
type agent struct {
	p       *proc
	n       uint64 // generation, 0 when in none
	chain   cluster.Digest
	members []int
	state   state
	workers int
	drain   bool
	opened  bool
	synced  bool
	done    bool
	waits   time.Duration // since when the workers wait for their peers
	hello   map[int]state
	parts   map[from]part
	early   []message // of generations not entered yet
	epoch   int       // changes with the generation; timers of an old one are void
	shape   int       // changes when workers do
}

// from names a contribution.
type from struct {
	member int
	step   uint64
}

// part is a member's contribution to a step, with its control word.
type part struct {
	step  uint64
	drain bool
}

// message is what workers tell each other.
type message struct {
	from  int
	boot  string
	n     uint64
	chain cluster.Digest
	hello *state
	part  *part
	reset bool // the connection ended; gone if with the process
	gone  bool
}

func (a *agent) init(p *proc) {
	shape := a.shape + 1
	*a = agent{p: p, state: p.saved, workers: p.w.sched.Workers, epoch: a.epoch + 1, shape: shape}
}

// ready announces the workers after the time that they take to start.
func (a *agent) ready() {
	w := a.p.w
	w.after(w.between(10*time.Millisecond, 200*time.Millisecond), a.p.alive(a.announce))
}

func (a *agent) announce() {
	var ws []string
	for i := range a.workers {
		ws = append(ws, fmt.Sprintf("%s:%d.%d", a.p.id, a.shape, i))
	}
	a.p.input(gen.Announce{Workers: ws, Step: a.state.step})
}

// reset ends all connections as the process ends.
func (a *agent) reset() {
	if a.n != 0 {
		a.tellAll(message{reset: true, gone: true})
	}
	a.n, a.epoch = 0, a.epoch+1
}

// leave ends the generation on this node.
func (a *agent) leave() {
	if a.n == 0 {
		return
	}
	a.tellAll(message{reset: true})
	a.n, a.epoch = 0, a.epoch+1
}

func (a *agent) broke(why string, blame int, proof bool) {
	n := a.n
	f := cluster.Fault{Why: why, Proof: proof}
	if blame >= 0 {
		f.Blame = a.p.w.nodes[blame].id
	}
	a.p.w.logf("%s: generation %d broke: %s", a.p.id, n, why)
	a.leave()
	a.announce()
	a.p.input(gen.Broke{N: n, Fault: f})
}

func (a *agent) order(o cluster.Order) {
	w, p := a.p.w, a.p
	w.logf("%s: order %v %d %s", p.id, o.Kind, o.N, o.Cause)
	w.check.ordered(p, o)
	switch o.Kind {
	case cluster.Form:
		a.form(o.Generation)
	case cluster.Abort:
		if o.N == a.n {
			a.leave()
			a.announce()
		}
	case cluster.Drain:
		if o.N == a.n {
			a.drain = true
		}
	case cluster.Left, cluster.Finished, cluster.Excluded:
		a.leave()
		p.over, p.up = true, false
		p.life++
	}
}

// form opens the transport of a generation.
func (a *agent) form(g *cluster.Generation) {
	if a.n != 0 {
		a.p.w.check.fail("%s: ordered into generation %d while in %d", a.p.id, g.N, a.n)
	}
	w := a.p.w
	a.epoch++
	a.n, a.chain, a.members = g.N, g.Chain, nil
	a.drain, a.opened, a.synced = false, false, false
	a.hello, a.parts = make(map[int]state), make(map[from]part)
	for _, x := range g.Nodes {
		a.members = append(a.members, int(x.ID[0]-'a'))
	}
	epoch := a.epoch
	w.after(w.between(2*time.Millisecond, 30*time.Millisecond), a.p.alive(func() {
		if epoch != a.epoch {
			return
		}
		a.waits = w.now
		a.hello[a.p.index] = a.state
		s := a.state
		a.tellAll(message{hello: &s})
		early := a.early
		a.early = nil
		for _, m := range early {
			a.hear(m)
		}
		if epoch == a.epoch {
			a.open()
			a.watch(epoch)
		}
	}))
}

// tellAll sends a message of the generation to its other members.
func (a *agent) tellAll(m message) {
	w := a.p.w
	m.from, m.boot, m.n, m.chain = a.p.index, a.p.bootID, a.n, a.chain
	from, life := a.p, a.p.life
	for _, x := range a.members {
		if x == a.p.index {
			continue
		}
		to := w.nodes[x]
		w.net.send(a.p.index, x, func() {
			if !m.reset && from.life != life && w.chance(0.5) {
				return // lost with the process that sent it
			}
			if to.up {
				to.alive(func() { to.agent.hear(m) })()
			}
		})
	}
}

// hear takes a message of a peer.
func (a *agent) hear(m message) {
	switch {
	case a.p.over || m.n < a.n:
		return
	case m.n > a.n:
		if !m.reset {
			a.early = append(a.early, m)
		}
		return
	case m.chain != a.chain:
		if a.p.w.sched.Harsh {
			return // the handshake refuses it
		}
		a.p.w.check.fail("generation %d: %s and %s have different records of it", m.n, a.p.id, a.p.w.nodes[m.from].id)
		return
	case !a.has(a.p.index): // our own transport is not up yet
		if !m.reset {
			a.early = append(a.early, m)
			return
		}
	}
	switch {
	case m.reset:
		a.broke(fmt.Sprintf("connection to %s was reset", a.p.w.nodes[m.from].id), m.from, m.gone)
	case m.hello != nil:
		a.hello[m.from] = *m.hello
		a.open()
	case m.part != nil:
		if m.part.step > a.state.step+2 && a.synced {
			a.p.w.check.fail("I3: %s hears of step %d of %s when it is at %d", a.p.id, m.part.step, a.p.w.nodes[m.from].id, a.state.step)
		}
		a.parts[from{m.from, m.part.step}] = *m.part
		a.commit()
	}
}

// open is done when all members have said hello; those behind then fetch the newest state.
func (a *agent) open() {
	if a.opened || len(a.hello) < len(a.members) {
		return
	}
	a.opened = true
	a.p.input(gen.Opened{N: a.n})
	best := a.state
	for _, x := range a.members {
		if s := a.hello[x]; s.step > best.step {
			best = s
		}
	}
	w, epoch := a.p.w, a.epoch
	took := time.Duration(0)
	if a.state.step < best.step {
		took = w.between(5*time.Millisecond, 120*time.Millisecond)
	}
	w.after(took, a.p.alive(func() {
		if epoch == a.epoch {
			a.state, a.synced = best, true
			w.check.holds(a.p, best)
			a.announce()
			a.compute()
		}
	}))
}

// compute is the backward pass of the next step.
func (a *agent) compute() {
	w, epoch, n := a.p.w, a.epoch, a.n
	if a.state.step >= w.sched.Steps {
		a.p.input(gen.Finish{})
		a.done = true
		a.n, a.epoch = 0, a.epoch+1
		w.logf("%s: done in generation %d", a.p.id, n)
		return
	}
	w.after(w.between(w.sched.StepTime*3/4, w.sched.StepTime*5/4), a.p.alive(func() {
		if epoch != a.epoch {
			return
		}
		mine := part{a.state.step + 1, a.drain}
		a.parts[from{a.p.index, mine.step}] = mine
		a.tellAll(message{part: &mine})
		w.check.contributed(n, mine.step)
		a.waits = w.now
		a.commit()
	}))
}

// commit does the step once the parts of all members are in.
func (a *agent) commit() {
	if !a.synced {
		return
	}
	drain := false
	for _, x := range a.members {
		p, ok := a.parts[from{x, a.state.step + 1}]
		if !ok {
			return
		}
		drain = drain || p.drain
	}
	a.state = a.state.next()
	for _, x := range a.members {
		delete(a.parts, from{x, a.state.step})
	}
	a.waits = a.p.w.now
	a.p.w.check.committed(a.p, a.n, a.state)
	if a.state.step%5 == 0 && a.p.disk == 0 {
		a.p.saved = a.state
	}
	a.announce()
	if drain && a.state.step < a.p.w.sched.Steps {
		n := a.n
		a.n, a.epoch = 0, a.epoch+1
		a.p.input(gen.Drained{N: n})
		return
	}
	a.compute()
}

// watch gives up peers that are silent for too long.
func (a *agent) watch(epoch int) {
	w := a.p.w
	w.after(300*time.Millisecond, a.p.alive(func() {
		if epoch != a.epoch {
			return
		}
		if w.now-a.waits > opDeadline {
			for _, x := range a.members {
				_, ok := a.parts[from{x, a.state.step + 1}]
				if x != a.p.index && (!a.opened && !a.has(x) || a.opened && !ok) {
					a.broke(fmt.Sprintf("%s is silent", w.nodes[x].id), x, false)
					return
				}
			}
		}
		a.watch(epoch)
	}))
}

func (a *agent) has(x int) bool {
	_, ok := a.hello[x]
	return ok
}

// opDeadline is how long a worker waits for its peers.
const opDeadline = 1200 * time.Millisecond

// killWorker ends one worker; the node goes on with the others.
func (a *agent) killWorker() {
	if a.workers <= 1 || !a.p.up || a.done {
		return
	}
	a.workers--
	a.shape++
	if a.n == 0 {
		a.announce()
		return
	}
	a.broke("a worker was killed", a.p.index, true)
}

func (a *agent) addWorker() {
	if a.p.up && !a.done && a.workers < a.p.w.sched.Workers {
		a.workers++
		a.announce()
	}
}
