package main

import (
	"slices"
	"strings"
	"testing"
	"time"
)

// Schedules follow from their seeds, keep to the run, and leave enough control
// servers.
func TestSchedules(t *testing.T) {
	all := []kind{killWorker, killNode, stopWorker, stopNode, leaveNode, cutNode, fillDisk}
	for _, control := range []int{1, 3} {
		seen := map[fault]bool{} // kinds and nodes
		for seed := range uint64(500) {
			faults := schedule(seed, 179, 3, control, all)
			if !slices.Equal(faults, schedule(seed, 179, 3, control, all)) {
				t.Fatalf("seed %d: two schedules", seed)
			}
			if len(faults) < 1 || len(faults) > 4 {
				t.Errorf("seed %d: %d faults", seed, len(faults))
			}
			gone := map[int]bool{}
			for _, f := range faults {
				seen[fault{kind: f.kind, node: f.node}] = true
				if f.at < 1 || f.at > 179 || f.node < 0 || f.node > 2 || f.ms < 200 || f.ms > 7000 {
					t.Errorf("seed %d: %v", seed, f)
				}
				if f.node < control && (f.kind == killNode || f.kind == leaveNode) {
					gone[f.node] = true
				}
			}
			if control == 1 && len(gone) > 0 || len(gone) > 1 {
				t.Errorf("seed %d: of %d control servers, those of %v go", seed, control, gone)
			}
		}
		if want := 3*len(all) - 2*(3-control)/2; len(seen) != want {
			t.Errorf("%d control servers: 500 schedules make %d faults, want %d", control, len(seen), want)
		}
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
