package detect

import "time"

// slack is after how many periods without a tick a process counts as stopped.
const slack = 3

// Guard notices that its own process stood still: a ticker of a fixed period
// that comes much too late. Not safe for concurrent use.
type Guard struct {
	period time.Duration
	last   time.Time
	stood  time.Time // when it last had stood still
}

// NewGuard returns a guard whose Tick is to be called every period.
func NewGuard(period time.Duration) *Guard {
	if period <= 0 {
		panic("detect: a guard needs a period")
	}
	return &Guard{period: period}
}

// Tick returns for how long the process stood still before now: 0 if it was
// less than 3 periods.
func (g *Guard) Tick(now time.Time) time.Duration {
	gap := now.Sub(g.last)
	first := g.last.IsZero()
	g.last = now
	if first || gap <= slack*g.period {
		return 0
	}
	g.stood = now
	return gap
}

// Clean reports whether the process has not stood still for the given time
// before now: what it has seen since may be believed.
func (g *Guard) Clean(now time.Time, during time.Duration) bool {
	late := !g.last.IsZero() && now.Sub(g.last) > slack*g.period
	return !late && (g.stood.IsZero() || now.Sub(g.stood) >= during)
}
