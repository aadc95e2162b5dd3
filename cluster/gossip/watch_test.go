package gossip

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/espalier-ml/espalier/cluster"
)

func TestEverybodyHasNeighboursWhoWatch(t *testing.T) {
	for _, n := range []int{1, 2, 3, 16, 17, 18, 40} {
		var all []cluster.NodeID
		for i := range n {
			all = append(all, cluster.NodeID(fmt.Sprintf("n%02d", i)))
		}
		watched := map[cluster.NodeID]int{}
		for i, self := range all {
			others := slices.Delete(slices.Clone(all), i, i+1)
			for _, id := range neighbours(self, others) {
				watched[id]++
				if id == self {
					t.Errorf("%d members: %s watches itself", n, self)
				}
			}
		}
		for _, id := range all {
			if want := min(n-1, maxNeighbours); watched[id] != want {
				t.Errorf("%d members: %s is watched by %d, want %d", n, id, watched[id], want)
			}
		}
	}
}

func TestEar(t *testing.T) {
	e := &ear{heard: map[starter]time.Time{}}
	s, now := starter{"n", "b"}, time.Now()
	at := func(d time.Duration) time.Time { return now.Add(d) }
	for i, c := range []struct {
		do     func()
		at     time.Duration
		silent bool
	}{
		{func() {}, 0, false}, // seen for the first time
		{func() {}, 2999 * time.Millisecond, false},
		{func() {}, 3 * time.Second, true},
		{func() { e.hear(s, at(2*time.Second)) }, 4 * time.Second, false},
		{func() { e.hear(s, at(time.Second)) }, 4 * time.Second, false}, // an answer overtaken by another
		{func() { e.reset(at(60 * time.Second)) }, 61 * time.Second, false},
		{func() { e.keep(nil) }, time.Hour, false}, // gone, and here again
	} {
		c.do()
		if got := e.silent(s, at(c.at), 3*time.Second); got != c.silent {
			t.Errorf("row %d: silent %v, want %v", i, got, c.silent)
		}
	}
}

func TestRosterTellsOfTheNewest(t *testing.T) {
	r := newRoster("self")
	r.mu.Lock()
	for _, e := range []cluster.MemberEvent{
		{Node: "a", Boot: "1", Health: cluster.Alive},
		{Node: "b", Boot: "1", Health: cluster.Alive},
		{Node: "a", Boot: "1", Health: cluster.Dead},
		{Node: "a", Boot: "2", Health: cluster.Alive},
	} {
		r.emit(e.Node, e.Boot, e.Health)
	}
	r.mu.Unlock()
	want := []cluster.MemberEvent{
		{Node: "b", Boot: "1", Health: cluster.Alive},
		{Node: "a", Boot: "1", Health: cluster.Dead},
		{Node: "a", Boot: "2", Health: cluster.Alive},
	}
	if !slices.Equal(r.pending, want) {
		t.Errorf("pending %v, want %v", r.pending, want)
	}
}

func TestLogLevels(t *testing.T) {
	core, seen := observer.New(zapcore.DebugLevel)
	l := listLogger(zap.New(core))
	for _, c := range []struct {
		line  string
		level zapcore.Level
		says  string
	}{
		{"[DEBUG] memberlist: a", zapcore.DebugLevel, "a"},
		{"[WARN] memberlist: b c", zapcore.InfoLevel, "b c"},
		{"[ERR] memberlist: d", zapcore.WarnLevel, "d"},
		{"odd", zapcore.InfoLevel, "odd"},
	} {
		l.Print(c.line)
		e := seen.TakeAll()
		if len(e) != 1 || e[0].Level != c.level || fmt.Sprintf("%s", e[0].ContextMap()["says"]) != c.says {
			t.Errorf("%q: logged %v", c.line, e)
		}
		if len(e) == 1 && !strings.HasSuffix(e[0].LoggerName, "memberlist") {
			t.Errorf("logger %q", e[0].LoggerName)
		}
	}
}

func FuzzMeta(f *testing.F) {
	f.Add([]byte(`{"p":1,"r":"fig","v":"v1","b":"x"}`))
	f.Add([]byte(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, err := parseMeta(b); err == nil && len(m.Build) > len(b) {
			t.Errorf("more than was sent: %+v", m)
		}
	})
}
