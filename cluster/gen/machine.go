package gen

import (
	"slices"
	"time"

	"github.com/espalier-ml/espalier/cluster"
)

// Machine is one node's part in the run's generations: a pure function of the
// events it is given. It is not for concurrent use.
type Machine struct {
	cfg Config
	now time.Duration
	out []Action

	// What the store says, as far as known. See view.go.
	life    int      // of our picture of the store
	store   string   // its name, see Leader.Store
	stores  []string // earlier names
	slots   map[string]*slot
	leader  *Leader
	head    *Record
	nodes   map[cluster.NodeID]*known
	order   []*known // nodes, by ID
	links   map[uint64]Link
	health  map[cluster.NodeID]cluster.MemberEvent
	memory  Memory
	saving  *Memory
	saveAt  time.Duration // not before
	saveBad int

	// What the agent said.
	workers []string
	step    uint64
	stepped time.Duration // when the announcement was last written
	leaving bool
	left    bool // takes up nothing any more
	spoken  bool // this start of the node has announced itself
	done    bool
	cur     current
	ended   bool

	// Clocks of our own. See pause.go and elect.go.
	ticked    time.Duration // last regular tick
	slipped   time.Duration // end of the last pause
	everSlip  bool
	leaderAt  time.Duration // when the leader's key was last seen to change
	beatAt    time.Duration // when ours is due
	beat      uint64
	wakeAt    time.Duration
	wakeAsked time.Duration

	duty     duty     // as leader
	proposed struct { // the last generation that this node wrote
		n  uint64
		at time.Duration
	}
	recent []Reform
}

// known is what a node has announced and acknowledged.
type known struct {
	id   cluster.NodeID
	ann  *Announcement
	ack  *Ack
	seen time.Duration // when the announcement was first seen
}

// current is the generation that the agent is in.
type current struct {
	ack  Ack // what the agent said; its N is the generation
	live bool
	told bool // Drain was ordered
}

// New returns the machine of a node that kept a memory.
func New(cfg Config, mem Memory) *Machine {
	cfg.Times = cfg.Times.Defaults()
	if !cfg.rule(RuleMax) {
		mem = Memory{}
	}
	m := &Machine{
		cfg:    cfg,
		memory: mem,
		health: make(map[cluster.NodeID]cluster.MemberEvent),
		links:  make(map[uint64]Link),
	}
	for _, l := range mem.Links {
		m.links[l.N] = l
	}
	m.forget()
	return m
}

// Step takes one event and returns what is to be done about it, in order. The
// actions are good until the next call.
func (m *Machine) Step(ev Event) []Action {
	m.out = m.out[:0]
	if m.ended {
		return nil
	}
	m.now = max(m.now, ev.At)
	switch e := ev.Of.(type) {
	case Tick:
		m.tick(e)
	case Seen:
		m.seen(e.Entry)
	case Wrote:
		m.wrote(e)
	case Fetched:
		m.fetched(e)
	case Saved:
		m.saved(e)
	case Heard:
		m.heard(e.Member)
	default:
		m.told(e)
	}
	m.wakeAt = 0
	m.follow()
	m.speak()
	m.elect()
	m.lead()
	m.part()
	if m.wakeAt != 0 && m.wakeAt != m.wakeAsked {
		m.wakeAsked = m.wakeAt
		m.do(Wake{At: m.wakeAt})
	}
	return m.out
}

// Ended reports whether the last order was delivered; Step does nothing any more.
func (m *Machine) Ended() bool { return m.ended }

func (m *Machine) do(a Action) { m.out = append(m.out, a) }

// wake asks for another look at a time to come.
func (m *Machine) wake(at time.Duration) {
	if at > m.now && (m.wakeAt == 0 || at < m.wakeAt) {
		m.wakeAt = at
	}
}

// told takes what the agent says.
func (m *Machine) told(in Input) {
	c := &m.cur
	switch e := in.(type) {
	case Announce:
		m.workers, m.step = slices.Clone(e.Workers), e.Step
	case Opened:
		if e.N == c.ack.N && c.live {
			c.ack.Opened = true
		}
	case Drained:
		if e.N == c.ack.N && c.live {
			c.ack.Drained, c.live = true, false
		}
	case Broke:
		if e.N != c.ack.N || c.ack.Broken || c.ack.Drained || c.ack.Done {
			return
		}
		c.ack.Broken, c.live = true, false
		c.ack.Why, c.ack.Blame, c.ack.Proof = e.Fault.Why, e.Fault.Blame, e.Fault.Proof
		if m.dazed() { // after a pause all others look silent
			c.ack.Blame, c.ack.Proof = "", false
		}
	case Leave:
		m.leaving = true
	case Finish:
		m.done = true
		if c.ack.N != 0 && c.live {
			c.ack.Done, c.live = true, false
		}
	}
}

func (m *Machine) heard(e cluster.MemberEvent) {
	if old, ok := m.health[e.Node]; ok && old.Boot != e.Boot && e.Health != cluster.Alive {
		return // late news of an earlier start
	}
	m.health[e.Node] = e
}

// healthOf is what gossip says of this start of a node; 0 if nothing.
func (m *Machine) healthOf(id cluster.NodeID, boot string) cluster.Health {
	if id == m.cfg.Self.ID {
		if boot == m.cfg.Self.Boot {
			return cluster.Alive
		}
		return cluster.Dead
	}
	if h, ok := m.health[id]; ok && h.Boot == boot {
		return h.Health
	}
	if !m.cfg.Gossip {
		return cluster.Alive
	}
	return 0
}

// gone reports whether gossip holds this start of a node for dead.
func (m *Machine) gone(id cluster.NodeID, boot string) bool {
	h := m.healthOf(id, boot)
	return h == cluster.Dead || h == cluster.Departed
}

func (m *Machine) self() cluster.NodeID { return m.cfg.Self.ID }

// node returns the entry of a node, made if need be.
func (m *Machine) node(id cluster.NodeID) *known {
	if k, ok := m.nodes[id]; ok {
		return k
	}
	k := &known{id: id}
	m.nodes[id] = k
	at, _ := slices.BinarySearchFunc(m.order, id, func(k *known, id cluster.NodeID) int {
		return compare(k.id, id)
	})
	m.order = slices.Insert(m.order, at, k)
	return k
}

// announced returns what a node announced, nil if nothing.
func (m *Machine) announced(id cluster.NodeID) *Announcement {
	if k, ok := m.nodes[id]; ok {
		return k.ann
	}
	return nil
}

// acked returns what this start of a node acknowledged of generation n.
func (m *Machine) acked(x *cluster.Node, n uint64) Ack {
	if k, ok := m.nodes[x.ID]; ok && k.ack != nil && k.ack.N == n && k.ack.Boot == x.Boot {
		return *k.ack
	}
	return Ack{}
}

func compare(a, b cluster.NodeID) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}
