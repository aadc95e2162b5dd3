// Package collectivetest is the suite that every transport passes: exact
// results, the fixed order of additions, and an error instead of a hang or a
// wrong sum when ranks disagree, stop or leave.
//
//	func TestConformance(t *testing.T) {
//		collectivetest.Run(t, collectivetest.Transport{Worlds: []int{1, 2, 4, 8}, Open: open})
//	}
//
// Ranks are goroutines of the test; a transport between processes or machines
// opens all its ends in one process.
package collectivetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/espalier-ml/espalier/collective"
)

// Transport is what the suite needs to know of one.
type Transport struct {
	// Worlds are the group sizes to test.
	Worlds []int

	// Open makes the communicators of a group, by rank. timeout is the
	// transport's own deadline for a wait, 0 for its default. The suite
	// closes them.
	Open func(world int, timeout time.Duration) ([]collective.Comm, error)
}

// Run runs the whole suite, each case at each world size.
func Run(t *testing.T, tr Transport) {
	cases := []struct {
		name string
		min  int // smallest world it makes sense for
		run  func(t *testing.T, tr Transport, world int)
	}{
		{"info", 1, testInfo},
		{"exact sums", 1, testExactSums},
		{"order of additions", 1, testOrder},
		{"sums over shards", 1, testShards},
		{"other types", 1, testOtherTypes},
		{"maximum", 1, testMaximum},
		{"reduce-scatter", 1, testReduceScatter},
		{"all-gather", 1, testAllGather},
		{"broadcast", 1, testBroadcast},
		{"send and receive", 1, testSendRecv},
		{"barrier", 1, testBarrier},
		{"many in flight", 1, testManyInFlight},
		{"regions of other sizes", 1, testRegions},
		{"bad arguments", 1, testBadArguments},
		{"different operations", 2, testDesync},
		{"different shards", 2, testDesyncShards},
		{"abort while waiting", 2, testAbort},
		{"deadline of the transport", 2, testTransportDeadline},
		{"deadline of the context", 2, testContextDeadline},
		{"a rank leaves", 2, testLeave},
		{"close", 1, testClose},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			for _, world := range tr.Worlds {
				if world >= c.min {
					t.Run(fmt.Sprintf("world=%d", world), func(t *testing.T) { c.run(t, tr, world) })
				}
			}
		})
	}
}

// patience is far beyond what anything here takes, and ends a hang.
const patience = time.Minute

// open opens a group and closes it after the test.
func (tr Transport) open(t *testing.T, world int, timeout time.Duration) []collective.Comm {
	t.Helper()
	comms, err := tr.Open(world, timeout)
	if err != nil {
		t.Fatalf("open a group of %d: %v", world, err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		each(comms, func(c collective.Comm) error { return c.Close(ctx) })
	})
	return comms
}

// each runs f for all ranks at once and returns their errors by rank.
func each(comms []collective.Comm, f func(c collective.Comm) error) []error {
	errs := make([]error, len(comms))
	var wg sync.WaitGroup
	for r, c := range comms {
		wg.Add(1)
		go func() {
			defer wg.Done()
			errs[r] = f(c)
		}()
	}
	wg.Wait()
	return errs
}

// allRanks fails the test unless f succeeds on every rank.
func allRanks(t *testing.T, comms []collective.Comm, f func(c collective.Comm) error) {
	t.Helper()
	for r, err := range each(comms, f) {
		if err != nil {
			t.Errorf("rank %d: %v", r, err)
		}
	}
	if t.Failed() {
		t.FailNow()
	}
}

// wait waits with patience.
func wait(w collective.Work) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return w.Wait(ctx)
}

func alloc(c collective.Comm, floats int) ([]float32, collective.Region, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	r, err := c.Alloc(ctx, int64(floats)*4)
	if err != nil {
		return nil, nil, err
	}
	return r.Float32s()[:floats], r, nil
}

// wraps checks that err wraps all targets and is an *OpError of the rank.
func wraps(err error, rank collective.Rank, targets ...error) error {
	if err == nil {
		return errors.New("no error")
	}
	for _, target := range targets {
		if !errors.Is(err, target) {
			return fmt.Errorf("error %q does not wrap %q", err, target)
		}
	}
	var op *collective.OpError
	if !errors.As(err, &op) || op.Rank != rank {
		return fmt.Errorf("error %q is no *OpError of rank %d", err, rank)
	}
	return nil
}
