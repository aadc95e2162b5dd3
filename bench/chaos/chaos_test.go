package main

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// Schedules follow from their seeds, keep to the run, and spare the control
// server, of which there is one.
func TestSchedules(t *testing.T) {
	all := []kind{killWorker, killNode, stopWorker, stopNode, leaveNode, cutNode, fillDisk}
	seen := map[kind]bool{}
	for seed := range uint64(500) {
		faults := schedule(seed, 179, 3, all)
		if !slices.Equal(faults, schedule(seed, 179, 3, all)) {
			t.Fatalf("seed %d: two schedules", seed)
		}
		if len(faults) < 1 || len(faults) > 4 {
			t.Errorf("seed %d: %d faults", seed, len(faults))
		}
		for _, f := range faults {
			seen[f.kind] = true
			if f.at < 1 || f.at > 179 || f.node < 0 || f.node > 2 || f.ms < 200 || f.ms > 7000 {
				t.Errorf("seed %d: %v", seed, f)
			}
			if f.node == 0 && (f.kind == killNode || f.kind == leaveNode) {
				t.Errorf("seed %d: %v takes the control server away", seed, f)
			}
		}
	}
	if len(seen) != len(all) {
		t.Errorf("500 schedules make faults of %d kinds of %d", len(seen), len(all))
	}
}

func TestTallyPrintsQuantiles(t *testing.T) {
	y := newTally()
	for i := range 10 {
		y.add(killNode, time.Duration(10-i)*time.Second)
	}
	var b strings.Builder
	y.print(&b)
	if !strings.Contains(b.String(), "| kill node | 10 | 5.000 | 9.000 | 10.000 |") {
		t.Errorf("got %s", b.String())
	}
}
