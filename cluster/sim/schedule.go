package sim

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/espalier-ml/espalier/cluster/gen"
)

// Kind is a kind of fault.
type Kind string

// The faults. For is how long they last.
const (
	Kill       Kind = "kill"        // SIGKILL of node A; it starts again after For
	Pause      Kind = "pause"       // SIGSTOP of node A, SIGCONT after For
	Slip       Kind = "slip"        // the clock of A moves on by For
	KillWorker Kind = "kill-worker" // one worker of A; replaced after For
	Split      Kind = "split"       // nodes in Mask | the others, on all planes; the store is with the others
	OneWay     Kind = "one-way"     // nothing gets from A to B
	CutControl Kind = "cut-control" // A does not reach the store; data and gossip work
	CutData    Kind = "cut-data"    // A and B reach each other by gossip and store only
	Slow       Kind = "slow"        // all delays up to 150 ms
	Lossy      Kind = "lossy"       // a third of gossip and store messages are lost
	Outage     Kind = "outage"      // nobody reaches the store
	Wipe       Kind = "wipe"        // the store loses all it had
	DiskFull   Kind = "disk-full"   // A cannot write
	LeaveNode  Kind = "leave"       // A asks to leave
	JoinNode   Kind = "join"        // A starts now for the first time
)

// Fault is one event of a schedule.
type Fault struct {
	At   time.Duration
	Kind Kind
	A, B int
	Mask int
	For  time.Duration
}

func (f Fault) String() string {
	return fmt.Sprintf("%.3f s %s a=%d b=%d mask=%b for %.3f s", f.At.Seconds(), f.Kind, f.A, f.B, f.Mask, f.For.Seconds())
}

// Schedule is a run with its faults. The seed draws all delays.
type Schedule struct {
	Seed     uint64
	Nodes    int
	Workers  int // of each node
	Min, Max int
	Steps    uint64
	StepTime time.Duration
	Faults   []Fault
	// Harsh: the store is emptied while nodes are dead or cut off. Then the
	// run may be split for good, and it is checked only that no node ever
	// takes part in two histories and that no wrong bit is computed.
	Harsh bool
}

func (s Schedule) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d: %d nodes (%d to %d) of %d workers, %d steps of %v, harsh %t", s.Seed, s.Nodes, s.Min, s.Max, s.Workers, s.Steps, s.StepTime, s.Harsh)
	for _, f := range s.Faults {
		fmt.Fprintf(&b, "\n  %v", f)
	}
	return b.String()
}

// heal is how long after the last fault the job must be done.
const heal = 40 * time.Second

// calmAt is when the last fault is over.
func (s *Schedule) calmAt() (t time.Duration) {
	for _, f := range s.Faults {
		t = max(t, f.At+f.For)
	}
	return t
}

func (s *Schedule) end() time.Duration {
	return s.calmAt() + heal + time.Duration(s.Steps)*s.StepTime*3/2
}

// late reports whether a node starts by a JoinNode.
func (s *Schedule) late(i int) bool {
	return slices.ContainsFunc(s.Faults, func(f Fault) bool { return f.Kind == JoinNode && f.A == i })
}

// Generate draws a schedule.
func Generate(seed uint64) Schedule {
	r := rand.New(rand.NewPCG(seed, 0))
	s := Schedule{
		Seed: seed, Nodes: 1 + r.IntN(5), Workers: 1 + r.IntN(2), Min: 1,
		Steps: 10 + uint64(r.IntN(20)), StepTime: 250 * time.Millisecond,
	}
	if s.Nodes > 2 && r.IntN(2) == 0 {
		s.Min = 2
	}
	if s.Nodes > 2 && r.IntN(4) == 0 {
		s.Max = s.Nodes - 1
	}
	span := 8 * time.Second
	ms := func(lo, hi int) time.Duration { return time.Duration(lo+r.IntN(hi-lo)) * time.Millisecond }
	kinds := []Kind{Kill, Kill, Pause, Slip, KillWorker, Split, OneWay, CutControl, CutData, Slow, Lossy, Outage, DiskFull}
	join := s.Nodes > s.Min && r.IntN(4) == 0
	quiet := s.Nodes > 1 && !join && r.IntN(2) == 0 // when the store is emptied all is quiet
	var wiped time.Duration
	if r.IntN(5) == 0 {
		wiped = ms(1500, 6000)
		s.Faults = append(s.Faults, Fault{At: wiped, Kind: Wipe})
		s.Harsh = !join && !quiet && r.IntN(2) == 0
		if !s.Harsh && !quiet {
			kinds = []Kind{Slip, KillWorker, Slow, Lossy, Outage}
		}
	}
	for range r.IntN(7) {
		f := Fault{At: ms(200, int(span/time.Millisecond)), Kind: kinds[r.IntN(len(kinds))], A: r.IntN(s.Nodes), For: ms(50, 4000)}
		f.B = (f.A + 1 + r.IntN(max(s.Nodes-1, 1))) % s.Nodes
		f.Mask = 1 + r.IntN(max(1<<s.Nodes-2, 1))
		if s.Nodes == 1 && (f.Kind == OneWay || f.Kind == CutData || f.Kind == Split) {
			f.Kind = Kill
		}
		if before := wiped - 3*time.Second; wiped > 0 && quiet && f.At < wiped && f.At+f.For > before {
			if f.For = before - f.At; f.For <= 0 {
				f.At += wiped
				f.For = ms(50, 4000)
			}
		}
		s.Faults = append(s.Faults, f)
	}
	if s.Nodes > s.Min+1 && r.IntN(4) == 0 {
		s.Faults = append(s.Faults, Fault{At: ms(500, 6000), Kind: LeaveNode, A: s.Nodes - 1})
	} else if join {
		s.Faults = append(s.Faults, Fault{At: ms(500, 6000), Kind: JoinNode, A: s.Nodes - 1})
	}
	slices.SortStableFunc(s.Faults, func(a, b Fault) int { return int(a.At - b.At) })
	return s
}

// Shrink drops faults from a schedule that fails for as long as it still does.
func Shrink(s Schedule, broken Broken) Schedule {
	for again := true; again; {
		again = false
		for i := range s.Faults {
			t := s
			t.Faults = slices.Delete(slices.Clone(s.Faults), i, i+1)
			if len(Run(t, broken, nil).Violations) > 0 {
				s, again = t, true
				break
			}
		}
	}
	return s
}

// inject begins a fault and has it end.
func (w *world) inject(f Fault) {
	w.logf("FAULT %v", f)
	p, n := w.nodes[f.A], &w.net
	over := func(end func()) {
		w.after(f.For, func() {
			w.logf("END OF %v", f)
			end()
			n.release()
			w.store.catchUp()
		})
	}
	w.touch(f)
	count := func(x *int) {
		*x++
		over(func() { *x--; w.untouch(f) })
	}
	switch f.Kind {
	case Kill:
		p.kill()
		over(func() { w.untouch(f); p.boot() })
	case Pause:
		p.pause(true)
		life := p.life
		over(func() {
			w.untouch(f)
			if p.life == life {
				p.pause(false)
			}
		})
	case Slip:
		p.slip += f.For
		w.untouch(f)
	case KillWorker:
		p.agent.killWorker()
		over(func() { w.untouch(f); p.agent.addWorker() })
	case Split:
		for a := range w.nodes {
			if f.Mask>>a&1 == 1 {
				count(&n.control[a])
			}
			for b := range w.nodes {
				if f.Mask>>a&1 != f.Mask>>b&1 {
					count(&n.data[a][b])
					count(&n.gossips[a][b])
				}
			}
		}
	case OneWay:
		count(&n.data[f.A][f.B])
		count(&n.gossips[f.A][f.B])
	case CutControl:
		count(&n.control[f.A])
	case CutData:
		count(&n.data[f.A][f.B])
		count(&n.data[f.B][f.A])
	case Slow:
		count(&n.slow)
	case Lossy:
		count(&n.lossy)
	case Outage:
		count(&w.store.down)
	case Wipe:
		w.store.wipe()
		w.untouch(f)
	case DiskFull:
		count(&p.disk)
	case LeaveNode:
		if p.up {
			p.input(gen.Leave{})
		}
	case JoinNode:
		p.boot()
	}
}

// hit lists the nodes that a fault touches.
func (w *world) hit(f Fault) []*proc {
	switch f.Kind {
	case Slow, Lossy, Outage, Wipe, LeaveNode, JoinNode, Slip:
		return nil
	case Kill, Pause, KillWorker, CutControl, DiskFull:
		return w.nodes[f.A : f.A+1]
	}
	return w.nodes
}

// touch and untouch note which nodes a fault is at work on, for the checker.
func (w *world) touch(f Fault) {
	for _, p := range w.hit(f) {
		p.quiet++
	}
}

func (w *world) untouch(f Fault) {
	for _, p := range w.hit(f) {
		p.quiet = max(p.quiet-1, 0)
		p.calm = w.now
	}
}

func (w *world) views() string {
	var b strings.Builder
	for _, p := range w.nodes {
		if !p.up {
			fmt.Fprintf(&b, "%s down (over %t); ", p.id, p.over)
			continue
		}
		v := p.machine.View()
		fmt.Fprintf(&b, "%s %s gen %d leader %s agent in %d at %d; ", p.id, v.Phase, v.Generation.N, v.Leader, p.agent.n, p.agent.state.step)
	}
	return b.String()
}

func members(r *gen.Record) string {
	var b strings.Builder
	for _, x := range r.Nodes {
		fmt.Fprintf(&b, "%s%d ", x.Boot, len(x.Workers))
	}
	return strings.TrimSpace(b.String())
}

func parse(b []byte, v any) error { return json.Unmarshal(b, v) }
