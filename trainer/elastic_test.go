package trainer_test

import (
	"encoding/json"
	"fmt"
	"sync"
	"testing"

	"github.com/espalier-ml/espalier/trainer"
	"github.com/espalier-ml/espalier/trainer/metrics"
	"github.com/espalier-ml/espalier/trainer/optim"
)

// A job may be edited for a worker.
type edit func(id int, c *trainer.Config)

func sgd(int, *trainer.Config) {}

func adam(_ int, c *trainer.Config) { c.Optim = optim.Defaults(optim.Adam) }

func gated(_ int, c *trainer.Config) { c.Methods = append([]trainer.Method{&masks{}}, c.Methods...) }

func adamGated(id int, c *trainer.Config) {
	adam(id, c)
	gated(id, c)
}

// with adds a method to the edited job.
func (e edit) with(method func() trainer.Method) edit {
	return func(id int, c *trainer.Config) {
		e(id, c)
		c.Methods = append(c.Methods, method())
	}
}

// The bits are those of one worker at any number of workers up to the shards.
func TestSameBitsAtAnyWorld(t *testing.T) {
	for _, c := range []struct {
		name string
		edit edit
	}{{"sgd", sgd}, {"adam", adam}, {"masks", gated}} {
		t.Run(c.name, func(t *testing.T) {
			edit := func(id int, cfg *trainer.Config) {
				c.edit(id, cfg)
				cfg.Shards = 8
			}
			want := undisturbed(t, edit)
			for _, world := range []int{2, 3, 4, 5, 7, 8} {
				m := newMeeting(t)
				m.edit = edit
				m.start(world)
				m.finished(want)
				if len(m.worlds) != 1 || m.worlds[0] != world || len(m.results) != world {
					t.Errorf("worlds %v, want one of %d, with as many results as %d", m.worlds, world, len(m.results))
				}
			}
		})
	}
}

// rejoin calls for another worker once one has been alone for two steps.
func rejoin(m *meeting) watcher {
	alone := 0
	return func(r *trainer.Run) {
		if r.Progress().World > 1 {
			alone = 0
		} else if alone++; alone == 2 {
			m.join()
		}
	}
}

// A worker dies at every one of its operations, before it or behind it: in the
// middle of a bucket, in the control word, in the memory of a grown network, in
// an evaluation, while state is brought in line. The other goes on alone, a
// third joins two steps later (and dies, too, in some cases), and the run ends
// with the bits of one that nothing happened to.
func TestDeathAtEveryOperation(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		name    string
		edit    edit
		victim  int
		behind  bool
		breakAt int // of the first worker, so that another one joins; -1 never
	}{
		{"first worker, before", adamGated, 0, false, -1},
		{"first worker, behind", adamGated, 0, true, -1},
		{"second worker, before", sgd, 1, false, -1},
		{"second worker, behind", adamGated, 1, true, -1},
		{"joining worker, before", adamGated, 2, false, 6},
		{"joining worker, behind", sgd, 2, true, 6},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			want := undisturbed(t, c.edit)
			for k, died := 0, true; died; k++ {
				m := newMeeting(t)
				m.hook = func(id, op int, done bool) bool {
					return id == c.victim && op == k && done == c.behind || id == 0 && op == c.breakAt && !done
				}
				m.edit = func(id int, cfg *trainer.Config) {
					c.edit(id, cfg)
					cfg.Methods = append(cfg.Methods, rejoin(m))
					if k%10 == 0 {
						cfg.SaveEvery, cfg.Dir = 5, fmt.Sprintf("%s/%s-%d-%d", dir, c.name, k, id)
					}
				}
				m.start(2)
				m.finished(want)
				if t.Failed() {
					t.Fatalf("death at operation %d; worlds %v", k, m.worlds)
				}
				died = m.ops[c.victim] > k
				if n := m.count(metrics.EventGrow); n > 2 { // by the one that died, and by its heir
					t.Errorf("death at operation %d: growth is reported %d times", k, n)
				}
			}
		})
	}
}

// Workers join and leave at every boundary, the first one among them.
func TestJoinsAndLeavesAtEveryBoundary(t *testing.T) {
	want := undisturbed(t, adamGated)
	for step := range uint64(10) {
		for _, c := range []struct {
			name   string
			start  int
			change func(m *meeting)
			worlds string
		}{
			{"one joins", 1, func(m *meeting) { m.join() }, "[1 2]"},
			{"two join", 1, func(m *meeting) { m.join(); m.join() }, "[1 3]"},
			{"the first leaves", 2, func(m *meeting) { m.leave(0) }, "[2 1]"},
			{"the last leaves", 3, func(m *meeting) { m.leave(2) }, "[3 2]"},
			{"one comes as one goes", 2, func(m *meeting) { m.join(); m.leave(0) }, "[2 2]"},
		} {
			m := newMeeting(t)
			var once sync.Once
			m.edit = edit(adamGated).with(func() trainer.Method {
				return watcher(func(r *trainer.Run) {
					if r.Step == step {
						once.Do(func() { c.change(m) })
					}
				})
			})
			m.start(c.start)
			m.finished(want)
			worlds := fmt.Sprint(m.worlds)
			if step == 9 { // the last boundary: the run is over before anything changes
				c.worlds = fmt.Sprint(m.worlds[:1])
			}
			if worlds != c.worlds {
				t.Errorf("%s at step %d: worlds %v, want %s", c.name, step, worlds, c.worlds)
			}
			if t.Failed() {
				t.FailNow()
			}
		}
	}
}

// A worker that does not learn that a step is complete, and one that does not
// hear the end of an evaluation, are brought to where the others are.
func TestLaggingRankIsBroughtUp(t *testing.T) {
	want := undisturbed(t, adamGated)
	fetched := 0
	for _, bucket := range []int32{-1, -2} {
		for seq := range uint64(11) {
			m := newMeeting(t)
			m.edit = adamGated
			var once sync.Once
			m.lose = func(id int, b int32, s uint64) (lost bool) {
				if id == 1 && b == bucket && s == seq {
					once.Do(func() { lost = true })
				}
				return lost
			}
			m.start(3)
			m.finished(want)
			fetched += m.log.FilterMessage("state fetched").Len()
		}
	}
	if fetched == 0 {
		t.Error("no state was ever fetched")
	}
}

// A rank whose values have changed behind everybody's back is named and gets
// the state of the majority.
func TestOddRankIsRepaired(t *testing.T) {
	want := undisturbed(t, adamGated)
	for _, odd := range []int{0, 2} {
		m := newMeeting(t)
		m.edit = func(id int, c *trainer.Config) {
			adamGated(id, c)
			c.Methods = append(c.Methods, tamper{id == odd})
		}
		m.start(3)
		m.finished(want)
		logs := m.log.FilterMessage("rank out of line: its state is replaced").All()
		if len(logs) != 3 || logs[0].ContextMap()["odd_rank"] != int64(odd) || logs[0].ContextMap()["differs_in"] != "values" {
			t.Errorf("odd rank %d: logged %v", odd, logs)
		}
	}
}

// tamper asks for a new generation in step 4 and changes a weight in between.
type tamper struct{ active bool }

func (x tamper) Name() string { return "tamper" }
func (x tamper) On(e trainer.Event, r *trainer.Run) error {
	switch {
	case e == trainer.Boundary && r.Step == 4:
		r.RequestRegroup()
	case e == trainer.Stepped && r.Step == 5 && x.active:
		return corrupt(r, 0.5)
	}
	return nil
}
func (x tamper) Save() (json.RawMessage, error) { return nil, nil }
func (x tamper) Load(json.RawMessage) error     { return nil }
