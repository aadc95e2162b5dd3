package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/espalier-ml/espalier/bench/field"
)

// trial is one schedule.
type trial struct {
	settings
	seed   uint64
	ref    field.Result
	tally  *tally
	dir    string
	faults []fault

	field    *field.Field
	progress []*field.Progress
	wg       sync.WaitGroup // of what heals
	mu       sync.Mutex
	healing  map[int]bool // nodes that something was done to
}

// run trains under the schedule and compares the digests.
func (t *trial) run() error {
	control := t.control
	if control == 0 {
		control = 1 + 2*int(t.seed%2)
	}
	f, err := field.New(field.Config{Binary: t.binary, Dir: t.dir, Nodes: t.nodes, Most: 8 / t.workers, Control: control, Loopback: t.loopback})
	if err != nil {
		return err
	}
	t.field, t.healing = f, map[int]bool{}
	t.faults = schedule(t.seed, t.ref.Steps, t.nodes, control, allowed(f))
	defer t.wg.Wait()
	defer f.Close()
	for _, n := range f.Nodes {
		defer mount(n.Dir)()
		p := field.Follow(n.Dir)
		defer p.Close()
		t.progress = append(t.progress, p)
		if err := t.start(n); err != nil {
			return err
		}
	}
	over := time.Now().Add(t.limit)
	for _, x := range t.faults {
		if !t.reach(x.at, over) {
			break // the run has ended before, or hangs: the end says which
		}
		t.strike(x)
	}
	return t.end(over)
}

// start runs the node's agent; a node that comes back joins again.
func (t *trial) start(n *field.Node) error {
	return n.Launch(filepath.Join(t.settings.dir, "job.yaml"), 1, t.workers)
}

// reach waits until some node has committed a step; false if none does in
// time or all have ended.
func (t *trial) reach(step uint64, over time.Time) bool {
	for time.Now().Before(over) {
		alive := false
		for i, p := range t.progress {
			if last, _ := p.Last(); last >= step {
				return true
			}
			alive = alive || t.field.Nodes[i].Running()
		}
		if !alive {
			return false
		}
		if step > 0 {
			t.progress[0].Beyond(step-1, 5*time.Millisecond)
		}
	}
	return false
}

// newest is the newest step of nodes other than the struck one.
func (t *trial) newest(but int) (step uint64, by int) {
	by = -1
	for i, p := range t.progress {
		if last, _ := p.Last(); i != but && t.field.Nodes[i].Running() && (by < 0 || last > step) {
			step, by = last, i
		}
	}
	return step, by
}

// strike makes a fault, begins to heal it in time, and measures how long the
// others stand still. What a struck node does meanwhile is not looked at.
func (t *trial) strike(x fault) {
	t.mu.Lock()
	busy := t.healing[x.node]
	t.healing[x.node] = true
	t.mu.Unlock()
	n := t.field.Nodes[x.node]
	if busy || !n.Running() {
		return
	}
	step, by := t.newest(x.node)
	began := time.Now()
	if t.verbose {
		fmt.Printf("  %v (at step %d)\n", x, step)
	}
	heal := t.do(x, n)
	t.wg.Go(func() {
		heal()
		t.mu.Lock()
		t.healing[x.node] = false
		t.mu.Unlock()
	})
	if by >= 0 && step < t.ref.Steps {
		if at, ok := t.progress[by].Beyond(step, 30*time.Second); ok {
			t.tally.add(x.kind, at.Sub(began))
		}
	}
}

// do makes the fault and returns what ends it.
func (t *trial) do(x fault, n *field.Node) (heal func()) {
	last := time.Duration(x.ms) * time.Millisecond
	signal := func(pids []int, s syscall.Signal) {
		for _, p := range pids {
			syscall.Kill(p, s)
		}
	}
	workers := n.Workers()
	slices.Sort(workers)
	switch x.kind {
	case killWorker:
		if len(workers) > 0 {
			signal(workers[:1], syscall.SIGKILL)
		}
		return func() {}
	case killNode:
		n.Kill()
		return func() { t.back(n, last) }
	case leaveNode:
		n.Signal(syscall.SIGTERM)
		return func() {
			if n.Wait(time.Minute) == nil {
				return // it was done
			}
			t.back(n, last)
		}
	case stopWorker, stopNode:
		stopped := workers[:min(1, len(workers))]
		if x.kind == stopNode {
			stopped = n.Everyone()
		}
		signal(stopped, syscall.SIGSTOP)
		return func() { pause(last); signal(stopped, syscall.SIGCONT) }
	case cutNode:
		n.Cut(true)
		return func() { pause(last); n.Cut(false) }
	case fillDisk:
		room := fill(n.Dir)
		return func() { pause(last); room() }
	}
	return func() {}
}

func pause(d time.Duration) { <-time.After(d) }

// back starts a node again after a while, if the run still goes on.
func (t *trial) back(n *field.Node, after time.Duration) {
	pause(after)
	for _, other := range t.field.Nodes {
		if other != n && other.Running() && !n.Running() {
			if err := t.start(n); err != nil && t.verbose {
				fmt.Println("  ", err)
			}
			return
		}
	}
}

// end waits for the nodes and compares what they say.
func (t *trial) end(over time.Time) error {
	finished := 0
	for _, n := range t.field.Nodes {
		if err := n.Wait(max(time.Millisecond, time.Until(over))); err != nil && n.Running() {
			return fmt.Errorf("the run hangs: %w", err)
		}
	}
	for _, n := range t.field.Nodes {
		for k := 1; k <= n.Starts(); k++ {
			o, err := n.Result(k)
			if err != nil || o.Steps < t.ref.Steps {
				continue // of a node that did not come to the end
			}
			if o.Digest != t.ref.Digest {
				return fmt.Errorf("node %s ends with digest %.16s, want %.16s", n.ID, o.Digest, t.ref.Digest)
			}
			finished++
		}
	}
	if finished == 0 {
		return fmt.Errorf("no node has finished; see %s", filepath.Join(t.dir, "*.err"))
	}
	return nil
}
