package shm

import (
	"fmt"
	"time"

	"github.com/espalier-ml/espalier/collective"
)

// sleepSlice bounds a sleep, so that a rank that left (and changes no word
// that sleepers watch) is noticed soon.
const sleepSlice = 20 * time.Millisecond

// barrier is one rank's view of the group's barrier. Every rank counts the
// barriers it has passed; the n-th is complete when the sum of all arrivals
// is n times the number of ranks. Numbers wrap; only differences count.
type barrier struct {
	ctl     *control
	rank    int
	world   uint32
	phase   uint32
	spin    time.Duration
	timeout time.Duration
}

// pass arrives and waits for all others. Its error is the group's. A barrier
// at which all have arrived is passed by all, even if the group ends at the
// same time: an operation that every rank has begun is completed by every
// rank that lives.
func (b *barrier) pass() error {
	b.phase++
	b.ctl.ranks[b.rank].arrived.Store(b.phase)
	target := b.phase * b.world
	v := b.ctl.arrivals.Add(1)
	if int32(v-target) >= 0 {
		if b.ctl.sleepers.Load() != 0 {
			futexWakeAll(&b.ctl.arrivals)
		}
	} else if v = b.spinUntil(target); int32(v-target) < 0 {
		v = b.sleepUntil(target)
	}
	if complete(v, target) {
		return nil
	}
	return b.ctl.ended()
}

// complete tells arrivals that have reached the target from poison.
func complete(v, target uint32) bool {
	over := int32(v - target)
	if over >= poison/2 {
		over -= poison
	}
	return over >= 0
}

// spinUntil polls until the target is reached or the spin limit, and returns
// what it saw last.
func (b *barrier) spinUntil(target uint32) uint32 {
	const polls = 32 // between looks at the clock
	var since time.Time
	for i := 1; ; i++ {
		v := b.ctl.arrivals.Load()
		if int32(v-target) >= 0 {
			return v
		}
		if i%polls == 0 {
			if since.IsZero() {
				since = time.Now()
			}
			if time.Since(since) >= b.spin {
				return v
			}
		}
		pause(4)
	}
}

// sleepUntil sleeps until the target is reached or the group has ended, which
// it brings about itself when a rank left or the time is up.
func (b *barrier) sleepUntil(target uint32) uint32 {
	begin := time.Now()
	b.ctl.sleepers.Add(1)
	defer b.ctl.sleepers.Add(^uint32(0))
	for {
		v := b.ctl.arrivals.Load()
		if int32(v-target) >= 0 || b.ctl.abort.state.Load() != 0 {
			return b.ctl.arrivals.Load()
		}
		if r := b.ctl.gone(b.phase); r >= 0 {
			b.ctl.end(collective.Rank(r), codeClosed, fmt.Sprintf("rank %d has left", r))
			continue
		}
		left := b.timeout - time.Since(begin)
		if left <= 0 {
			missing := b.ctl.missing(b.phase)
			b.ctl.end(collective.Rank(b.rank), codeDeadline, fmt.Sprintf("waited %v for ranks %v", b.timeout, missing), missing...)
			continue
		}
		futexWait(&b.ctl.arrivals, v, min(left, sleepSlice))
	}
}
