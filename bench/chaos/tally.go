package main

import (
	"fmt"
	"io"
	"math"
	"slices"
	"sync"
	"time"
)

// tally collects recovery times by kind of fault.
type tally struct {
	mu    sync.Mutex
	times map[kind][]time.Duration
}

func newTally() *tally { return &tally{times: map[kind][]time.Duration{}} }

func (t *tally) add(k kind, d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.times[k] = append(t.times[k], d)
}

// print writes the table.
func (t *tally) print(w io.Writer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	fmt.Fprintf(w, "\n| fault | times | to the next step: median, s | 90 %% | most |\n| --- | --- | --- | --- | --- |\n")
	for k := range kinds {
		x := t.times[k]
		if len(x) == 0 {
			continue
		}
		slices.Sort(x)
		fmt.Fprintf(w, "| %s node | %d | %.3f | %.3f | %.3f |\n", k, len(x), quantile(x, 0.5), quantile(x, 0.9), x[len(x)-1].Seconds())
	}
	fmt.Fprintln(w)
}

// quantile is the smallest value that the share q does not exceed.
func quantile(sorted []time.Duration, q float64) float64 {
	return sorted[max(0, int(math.Ceil(q*float64(len(sorted))))-1)].Seconds()
}
