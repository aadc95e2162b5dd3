package detect

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

const ms = time.Millisecond

func TestGuard(t *testing.T) {
	for _, c := range []struct {
		name  string
		gaps  []time.Duration
		stood []time.Duration
	}{
		{"in time", []time.Duration{100 * ms, 100 * ms}, []time.Duration{0, 0}},
		{"late, but not stopped", []time.Duration{300 * ms, 1 * ms}, []time.Duration{0, 0}},
		{"stopped", []time.Duration{100 * ms, 301 * ms, 100 * ms}, []time.Duration{0, 301 * ms, 0}},
		{"stopped twice", []time.Duration{10 * time.Second, 400 * ms}, []time.Duration{10 * time.Second, 400 * ms}},
	} {
		t.Run(c.name, func(t *testing.T) {
			g, now := NewGuard(100*ms), time.Now()
			if stood := g.Tick(now); stood != 0 {
				t.Errorf("first tick: stood %v", stood)
			}
			for i, gap := range c.gaps {
				now = now.Add(gap)
				if stood := g.Tick(now); stood != c.stood[i] {
					t.Errorf("tick %d: stood %v, want %v", i, stood, c.stood[i])
				}
			}
		})
	}
}

func TestGuardIsCleanSomeTimeAfterItStood(t *testing.T) {
	g, now := NewGuard(100*ms), time.Now()
	if !g.Clean(now, time.Second) {
		t.Error("not clean at the start")
	}
	g.Tick(now)
	now = now.Add(time.Second)
	if g.Clean(now, 0) {
		t.Error("clean although the tick is late")
	}
	g.Tick(now)
	for range 9 {
		now = now.Add(100 * ms)
		g.Tick(now)
		if g.Clean(now, time.Second) {
			t.Errorf("clean %v after it stood", now.Sub(g.stood))
		}
	}
	if now = now.Add(100 * ms); !g.Clean(now, time.Second) {
		t.Error("not clean a second after it stood")
	}
}

func TestLimit(t *testing.T) {
	repeat := func(n int, v ...time.Duration) (all []time.Duration) {
		for range n {
			all = append(all, v...)
		}
		return all
	}
	for _, c := range []struct {
		name string
		took []time.Duration
		want time.Duration
	}{
		{"nothing seen", nil, time.Second},
		{"too little seen", repeat(7, 20*ms), time.Second},
		{"all alike", repeat(8, 20*ms), 20 * ms},
		{"below the floor", repeat(8, 1*ms), 10 * ms},
		{"beyond the cap", repeat(8, 5*time.Second), time.Second},
		{"spread", repeat(16, 20*ms, 24*ms, 28*ms), 24*ms + 8*4*ms},
		{"a few outliers change nothing", append(repeat(60, 20*ms), repeat(4, 900*ms)...), 20 * ms},
		{"the old is forgotten", append(repeat(64, 500*ms), repeat(64, 20*ms)...), 20 * ms},
		{"negative counts as none", repeat(8, -5*ms), 10 * ms},
		{"no overflow", repeat(8, math.MaxInt64, 0), time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := NewLimit(10*ms, time.Second)
			for _, v := range c.took {
				l.Observe(v)
			}
			if got := l.Value(); got != c.want {
				t.Errorf("%v, want %v", got, c.want)
			}
		})
	}
}

// The formula, written the plain way.
func TestLimitFollowsItsFormula(t *testing.T) {
	for seed := range uint64(50) {
		rng := rand.New(rand.NewPCG(seed, 0))
		l, all := NewLimit(5*ms, 300*ms), []time.Duration(nil)
		for range 8 + rng.IntN(150) {
			took := time.Duration(rng.ExpFloat64() * float64(20*ms))
			l.Observe(took)
			all = append(all, took)
		}
		last := slices.Clone(all[max(0, len(all)-64):])
		slices.Sort(last)
		mid := last[len(last)/2]
		for i := range last {
			last[i] = (last[i] - mid).Abs()
		}
		slices.Sort(last)
		want := min(max(mid+8*last[len(last)/2], 5*ms), 300*ms)
		if got := l.Value(); got != want {
			t.Errorf("seed %d: %v, want %v", seed, got, want)
		}
	}
}

func TestLimitDoesNotAllocate(t *testing.T) {
	l := NewLimit(0, time.Second)
	if n := testing.AllocsPerRun(100, func() { l.Observe(ms); l.Value() }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
