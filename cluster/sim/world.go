package sim

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/espalier-ml/espalier/cluster/gen"
)

// world is one simulated run: nodes, the networks between them and the store,
// under one clock. It is a function of its Schedule.
type world struct {
	sched  Schedule
	broken Broken
	rng    *rand.Rand
	now    time.Duration
	events eventHeap
	seq    uint64
	trace  func(format string, args ...any)

	nodes []*proc
	net   network
	store *store
	check checker
}

// at calls f when the clock has come to a time.
func (w *world) at(t time.Duration, f func()) {
	w.seq++
	heap.Push(&w.events, event{at: max(t, w.now), seq: w.seq, f: f})
}

func (w *world) after(d time.Duration, f func()) { w.at(w.now+d, f) }

// between draws a duration.
func (w *world) between(lo, hi time.Duration) time.Duration {
	return lo + time.Duration(w.rng.Int64N(int64(hi-lo)+1))
}

func (w *world) chance(p float64) bool { return w.rng.Float64() < p }

// logf notes what happens, for the story of a failing seed.
func (w *world) logf(format string, args ...any) {
	if w.trace != nil {
		w.trace("%9.3f "+format, append([]any{w.now.Seconds()}, args...)...)
	}
}

// Result is what became of a schedule.
type Result struct {
	Violations []string // of invariants; empty is good
	Steps      uint64   // committed
	Gens       uint64   // formed
	Events     int
	Took       time.Duration // simulated
	Falsely    int           // nodes left out that were alive and reachable
}

// Broken is what is switched off to show that the checker notices.
type Broken struct {
	Rules       gen.Rule
	BlindWrites bool // the store ignores revisions
}

// Run plays a schedule. trace may be nil.
func Run(s Schedule, broken Broken, trace func(format string, args ...any)) Result {
	w := &world{sched: s, broken: broken, rng: rand.New(rand.NewPCG(s.Seed, 1)), trace: trace}
	w.check.w = w
	w.check.init()
	w.net.init(w)
	w.store = newStore(w)
	for i := range s.Nodes {
		w.nodes = append(w.nodes, newProc(w, i))
	}
	for _, p := range w.nodes {
		if s.late(p.index) {
			continue
		}
		w.after(w.between(0, 50*time.Millisecond), p.boot)
	}
	for _, f := range s.Faults {
		w.at(f.At, func() { w.inject(f) })
	}
	w.net.gossip()
	end := s.end()
	n := 0
	for len(w.events) > 0 && len(w.check.found) == 0 {
		e := heap.Pop(&w.events).(event)
		if e.at > end {
			break
		}
		w.now = e.at
		e.f()
		n++
		if w.check.complete() {
			break
		}
	}
	w.check.atEnd()
	return Result{
		Violations: w.check.found, Steps: w.check.top, Gens: w.check.lastN,
		Events: n, Took: w.now, Falsely: w.check.falsely,
	}
}

// String tells the outcome in a line.
func (r Result) String() string {
	return fmt.Sprintf("%d steps, %d generations, %d events, %.1f s", r.Steps, r.Gens, r.Events, r.Took.Seconds())
}

type event struct {
	at  time.Duration
	seq uint64
	f   func()
}

type eventHeap []event

func (h eventHeap) Len() int { return len(h) }
func (h eventHeap) Less(i, j int) bool {
	return h[i].at < h[j].at || h[i].at == h[j].at && h[i].seq < h[j].seq
}
func (h eventHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *eventHeap) Push(x any)   { *h = append(*h, x.(event)) }
func (h *eventHeap) Pop() any {
	old := *h
	x := old[len(old)-1]
	old[len(old)-1] = event{}
	*h = old[:len(old)-1]
	return x
}
