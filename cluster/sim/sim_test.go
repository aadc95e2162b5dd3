package sim

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/espalier-ml/espalier/cluster/gen"
)

var (
	seedFlag  = flag.Uint64("seed", 0, "play this seed alone and tell its story")
	schedules = flag.Int("schedules", 400, "number of schedules to play")
	firstSeed = flag.Uint64("first", 1, "seed of the first schedule")
)

// TestSchedules plays schedules on the machine as it is: no invariant may fail.
func TestSchedules(t *testing.T) {
	if *seedFlag != 0 {
		story(t, Generate(*seedFlag))
		return
	}
	count := *schedules
	if testing.Short() {
		count = min(count, 100)
	}
	var next, bad atomic.Int64
	var steps, gens, events, harsh, falsely atomic.Int64
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for bad.Load() < 5 {
				i := next.Add(1) - 1
				if i >= int64(count) {
					return
				}
				s := Generate(*firstSeed + uint64(i))
				r := Run(s, Broken{}, nil)
				if len(r.Violations) > 0 {
					bad.Add(1)
					s = Shrink(s, Broken{})
					t.Errorf("%v\n  %v\n  tell its story: go test ./cluster/sim -seed %d -v", s, Run(s, Broken{}, nil).Violations, s.Seed)
				}
				steps.Add(int64(r.Steps))
				gens.Add(int64(r.Gens))
				events.Add(int64(r.Events))
				falsely.Add(int64(r.Falsely))
				if s.Harsh {
					harsh.Add(1)
				}
			}
		})
	}
	wg.Wait()
	t.Logf("%d schedules (%d harsh): %d steps, %d generations, %d events; %d exclusions of nodes that no fault had touched", count, harsh.Load(), steps.Load(), gens.Load(), events.Load(), falsely.Load())
}

// story plays a schedule aloud.
func story(t *testing.T, s Schedule) {
	t.Log(s)
	r := Run(s, Broken{}, func(f string, a ...any) { fmt.Fprintf(os.Stdout, f+"\n", a...) })
	t.Log(r)
	for _, v := range r.Violations {
		t.Error(v)
	}
}

// TestRunIsAFunctionOfItsSchedule: the same seed, event for event.
func TestRunIsAFunctionOfItsSchedule(t *testing.T) {
	tell := func(seed uint64) (story string) {
		Run(Generate(seed), Broken{}, func(f string, a ...any) { story += fmt.Sprintf(f+"\n", a...) })
		return story
	}
	for seed := uint64(1); seed <= 20; seed++ {
		if a, b := tell(seed), tell(seed); a != b {
			t.Fatalf("seed %d has two stories", seed)
		}
	}
}

// TestMutations switches off one rule at a time, in a schedule that needs the
// rule: some invariant must notice for some seed, and none may without.
func TestMutations(t *testing.T) {
	s := func(d float64) time.Duration { return time.Duration(d * float64(time.Second)) }
	tests := []struct {
		name   string
		broken Broken
		sched  Schedule
		want   string
	}{
		{
			"an old leader writes on", Broken{Rules: gen.RuleFence},
			Schedule{Nodes: 4, Min: 1, Workers: 2, Steps: 14, Faults: []Fault{
				{At: s(0.361), Kind: Lossy, For: s(1.175)},
				{At: s(0.574), Kind: Outage, For: s(0.818)},
				{At: s(1.132), Kind: Slip, A: 1, For: s(0.527)},
				{At: s(2.871), Kind: Outage, For: s(0.215)},
				{At: s(3.562), Kind: Wipe},
				{At: s(3.844), Kind: JoinNode, A: 3},
			}},
			"I1: the term falls",
		},
		{
			"a node forgets the newest generation in a restart", Broken{Rules: gen.RuleMax},
			Schedule{Nodes: 1, Min: 1, Workers: 2, Steps: 20, Faults: []Fault{
				{At: s(3.791), Kind: Wipe},
				{At: s(3.948), Kind: Kill, For: s(0.976)},
			}},
			"I1: ",
		},
		{
			"a node takes any chain", Broken{Rules: gen.RuleChain},
			Schedule{Nodes: 2, Min: 1, Workers: 1, Steps: 23, Harsh: true, Faults: []Fault{
				{At: s(2.8), Kind: Split, Mask: 1, For: s(2.599)},
				{At: s(5.046), Kind: Wipe},
				{At: s(6.041), Kind: Kill, A: 1, For: s(3.948)},
			}},
			"does not follow on the last it took part in",
		},
		{
			"a generation follows on one that may still train", Broken{Rules: gen.RuleStopped},
			Schedule{Nodes: 3, Min: 1, Workers: 2, Steps: 21, Faults: []Fault{
				{At: s(0.521), Kind: Split, Mask: 0b010, For: s(2.707)},
				{At: s(2.918), Kind: Split, Mask: 0b101, For: s(3.609)},
			}},
			"I2: ",
		},
		{
			"a group starts from an old state", Broken{Rules: gen.RuleNewest},
			Schedule{Nodes: 3, Min: 1, Workers: 2, Steps: 25, Faults: []Fault{
				{At: s(0.619), Kind: Kill, A: 1, For: s(3.812)},
				{At: s(2.666), Kind: LeaveNode, A: 2},
				{At: s(3.778), Kind: DiskFull, A: 0, For: s(2.386)},
			}},
			"starts from step",
		},
		{
			"the store ignores revisions", Broken{BlindWrites: true},
			Schedule{Nodes: 3, Min: 1, Workers: 1, Steps: 25, Faults: []Fault{
				{At: s(1.5), Kind: Pause, A: 0, For: s(2.2)},
				{At: s(4), Kind: Pause, A: 1, For: s(2.2)},
				{At: s(6.5), Kind: Pause, A: 2, For: s(2.2)},
			}},
			"I1: ",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			caught := ""
			for seed := uint64(1); seed <= 300 && caught == ""; seed++ {
				sched := tt.sched
				sched.Seed, sched.StepTime = seed, 250*time.Millisecond
				if v := Run(sched, Broken{}, nil).Violations; len(v) > 0 {
					t.Fatalf("with all rules: %v\n%s", sched, v[0])
				}
				if v := Run(sched, tt.broken, nil).Violations; len(v) > 0 && strings.Contains(v[0], tt.want) {
					caught = fmt.Sprintf("seed %d: %s", seed, v[0])
				}
			}
			if caught == "" {
				t.Fatal("no invariant notices")
			}
			t.Log(caught)
		})
	}
}

// TestShrink: what is left of a failing schedule still fails, and each fault is needed.
func TestShrink(t *testing.T) {
	broken := Broken{Rules: gen.RuleMax}
	s := Schedule{Seed: 1, Nodes: 1, Min: 1, Workers: 2, Steps: 20, StepTime: 250 * time.Millisecond}
	s.Faults = []Fault{
		{At: 500 * time.Millisecond, Kind: Slow, For: time.Second},
		{At: 3791 * time.Millisecond, Kind: Wipe},
		{At: 3948 * time.Millisecond, Kind: Kill, For: 976 * time.Millisecond},
		{At: 6 * time.Second, Kind: Slip, For: time.Second},
	}
	small := Shrink(s, broken)
	if len(small.Faults) != 2 || small.Faults[0].Kind != Wipe || small.Faults[1].Kind != Kill {
		t.Fatalf("shrunk to %v", small)
	}
}
