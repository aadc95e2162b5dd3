package detect

import (
	"fmt"
	"slices"
	"time"
)

const (
	window  = 64 // operations remembered
	enough  = 8  // operations before they are trusted
	spreads = 8  // median absolute deviations beyond the median
)

// Limit is a deadline that follows how long operations take:
// clamp(median + 8 MAD, floor, cap) over the last 64. MAD is the median of
// the absolute deviations from the median; neither is moved by a few
// operations that took very long. Not safe for concurrent use.
type Limit struct {
	floor, cap time.Duration
	took       [window]time.Duration
	n          int // observed in all
}

// NewLimit returns a limit that is cap until 8 operations were observed.
func NewLimit(floor, cap time.Duration) *Limit {
	if floor < 0 || cap < floor {
		panic(fmt.Sprintf("detect: limit from %v to %v", floor, cap))
	}
	return &Limit{floor: floor, cap: cap}
}

// Observe notes how long an operation took.
func (l *Limit) Observe(took time.Duration) {
	l.took[l.n%window] = max(took, 0)
	l.n++
}

// Value is the deadline of the next operation.
func (l *Limit) Value() time.Duration {
	if l.n < enough {
		return l.cap
	}
	sample := l.took // a copy
	seen := sample[:min(l.n, window)]
	mid := median(seen)
	for i, v := range seen {
		seen[i] = max(v-mid, mid-v)
	}
	spread := median(seen)
	if spread > (l.cap-min(mid, l.cap))/spreads { // beyond the cap, without overflow
		return l.cap
	}
	return min(max(mid+spreads*spread, l.floor), l.cap)
}

// median sorts v. Of two middle values it is the greater.
func median(v []time.Duration) time.Duration {
	slices.Sort(v)
	return v[len(v)/2]
}
