package sim

import (
	"errors"
	"fmt"
	"time"

	"github.com/espalier-ml/espalier/cluster"
	"github.com/espalier-ml/espalier/cluster/gen"
)

// proc is a node: a process with the machine of production, and its disk.
type proc struct {
	w     *world
	index int
	id    cluster.NodeID

	// On disk.
	memory gen.Memory
	saved  state // the last checkpoint
	disk   int   // > 0: writes fail

	// What faults do to it, for the checker.
	quiet int           // faults at work on it
	calm  time.Duration // when the last one ended; 0: there was none

	// Of the process.
	up      bool
	over    bool // the last order was given
	paused  bool
	queue   []func() // what waits for a paused process
	life    int
	bootID  string
	started time.Duration
	slip    time.Duration // by which the monotonic clock was moved
	machine *gen.Machine
	watch   int
	behind  bool // the watch missed something
	wake    int
	agent   agent
}

func newProc(w *world, i int) *proc {
	p := &proc{w: w, index: i, id: cluster.NodeID(rune('a' + i))}
	p.agent.p = p
	return p
}

// times are production's, a little shorter so that a schedule is played in few events.
var times = gen.Times{
	Tick: 200 * time.Millisecond, Beat: 500 * time.Millisecond, LeaderTimeout: 1500 * time.Millisecond,
	FirstWait: 300 * time.Millisecond, SuspectWait: 600 * time.Millisecond, TakeWait: 1500 * time.Millisecond,
	OpenWait: 4 * time.Second, DrainWait: 5 * time.Second, JoinInterval: time.Second,
	StepInterval: 500 * time.Millisecond, Penalty: 500 * time.Millisecond, PenaltyMax: 4 * time.Second,
	StaleAfter: 1500 * time.Millisecond, DisjointAfter: -1,
}

// boot starts the process.
func (p *proc) boot() {
	if p.up || p.over {
		return
	}
	p.life++
	p.up, p.paused, p.queue = true, false, nil
	p.bootID = fmt.Sprintf("%s%d", p.id, p.life)
	p.started, p.slip = p.w.now, 0
	p.watch++
	p.w.logf("%s starts as %s with generation %d, step %d", p.id, p.bootID, p.memory.N, p.saved.step)
	s := &p.w.sched
	p.machine = gen.New(gen.Config{
		Self: cluster.Node{
			ID: p.id, Boot: p.bootID, Host: fmt.Sprintf("h%d", p.index/2), Build: "b", Job: "j",
		},
		MinNodes: s.Min, MaxNodes: s.Max, Gossip: true, Times: times, Without: p.w.broken.Rules,
	}, p.memory)
	p.agent.init(p)
	p.w.net.restarted(p.index)
	p.w.store.present(p)
	p.tick()
	p.agent.ready()
}

// kill ends the process at once.
func (p *proc) kill() {
	if !p.up {
		return
	}
	p.w.logf("%s is killed", p.id)
	p.up = false
	p.life++
	p.agent.reset()
}

func (p *proc) pause(on bool) {
	if !p.up || p.paused == on {
		return
	}
	p.w.logf("%s paused: %t", p.id, on)
	p.paused = on
	if on {
		return
	}
	q := p.queue
	p.queue = nil
	for _, f := range q {
		f()
	}
}

// alive returns f bound to this life of the process; while it is paused f waits.
func (p *proc) alive(f func()) func() {
	life := p.life
	var g func()
	g = func() {
		switch {
		case p.life != life || !p.up:
		case p.paused:
			p.queue = append(p.queue, g)
		default:
			f()
		}
	}
	return g
}

// tick is the process's ticker: late after a pause, and once.
func (p *proc) tick() {
	p.input(gen.Tick{Regular: true})
	p.w.after(times.Tick, p.alive(p.tick))
}

// input gives the machine an event and does what it says.
func (p *proc) input(in gen.Input) {
	if p.machine.Ended() {
		return
	}
	at := p.w.now - p.started + p.slip
	for _, a := range p.machine.Step(gen.Event{At: at, Of: in}) {
		switch a := a.(type) {
		case gen.Put:
			p.w.store.put(p, a)
		case gen.Fetch:
			p.w.store.get(p, a)
		case gen.Rewatch:
			p.watch++
			p.w.after(p.w.net.delay(), p.alive(func() { p.w.store.present(p) }))
		case gen.Save:
			p.save(a.Memory)
		case gen.Deliver:
			o := a.Order
			p.w.after(time.Microsecond, p.alive(func() { p.agent.order(o) }))
		case gen.Wake:
			p.wake++
			n := p.wake
			p.w.after(a.At-at, p.alive(func() {
				if n == p.wake {
					p.input(gen.Tick{})
				}
			}))
		case gen.Note:
			p.w.logf("%s: %s", p.id, a.Text)
		}
	}
}

var errDisk = errors.New("disk full")

// save keeps a memory; a crash may come before it is kept or after.
func (p *proc) save(m gen.Memory) {
	p.w.after(p.w.between(100*time.Microsecond, 4*time.Millisecond), p.alive(func() {
		var err error
		if p.disk > 0 {
			err = errDisk
		} else {
			p.memory = m
			p.w.check.kept(p, m)
		}
		n := m.N
		p.w.after(100*time.Microsecond, p.alive(func() { p.input(gen.Saved{N: n, Err: err}) }))
	}))
}
