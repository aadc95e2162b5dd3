package trainer_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/espalier-ml/espalier/collective"
	"github.com/espalier-ml/espalier/collective/tcp"
	"github.com/espalier-ml/espalier/trainer"
	"github.com/espalier-ml/espalier/trainer/checkpoint"
)

// A rank that serves another state than it has is left out, and the joiner has
// the right one in the end.
func TestLyingHolderIsLeftOut(t *testing.T) {
	want := undisturbed(t, adamGated)
	for liar := range 3 {
		m := newMeeting(t)
		var once sync.Once
		m.edit = edit(adamGated).with(func() trainer.Method {
			return watcher(func(r *trainer.Run) {
				if r.Step == 5 {
					once.Do(m.join)
				}
			})
		})
		m.alter = func(id int, b []byte) []byte {
			if id == liar {
				b = slices.Clone(b)
				b[len(b)/2] ^= 1
			}
			return b
		}
		m.start(3)
		m.finished(want)
		if n := m.log.FilterMessage("state does not match its digest, it is fetched anew").Len(); n != 4 {
			t.Errorf("liar %d: %d of 4 ranks report it", liar, n)
		}
	}
}

// A run whose workers all die goes on from what is on disk, with any number of
// workers; it does not matter which of them has the newest checkpoint.
func TestResumeFromDiskInOtherWorlds(t *testing.T) {
	want := undisturbed(t, adamGated)
	for _, worlds := range [][2]int{{1, 3}, {2, 1}, {3, 4}, {4, 2}} {
		dir := t.TempDir()
		saving := func(own func(id int) string) edit {
			return func(id int, c *trainer.Config) {
				adamGated(id, c)
				c.SaveEvery, c.Dir = 2, own(id)
			}
		}
		m := newMeeting(t)
		m.edit = saving(func(int) string { return dir }).with(func() trainer.Method {
			return watcher(func(r *trainer.Run) {
				if r.Step == 7 {
					r.RequestStop()
				}
			})
		})
		m.start(worlds[0])
		m.wait()
		if r := m.results[0]; r.Done || r.Step != 8 {
			t.Fatalf("stopped at step %d, done %v", r.Step, r.Done)
		}
		m = newMeeting(t)
		m.edit = saving(func(id int) string { // only the last one has it
			if id == worlds[1]-1 {
				return dir
			}
			return t.TempDir()
		})
		m.start(worlds[1])
		m.finished(want)
		if n := m.log.FilterMessage("state fetched").Len(); n != worlds[1]-1 {
			t.Errorf("worlds %v: %d workers fetched the state, want %d", worlds, n, worlds[1]-1)
		}
	}
}

func TestRanksOfAnotherJobAreRefused(t *testing.T) {
	m := newMeeting(t)
	m.edit = func(id int, c *trainer.Config) {
		if id == 1 {
			c.Optim.LR *= 2
		}
	}
	m.start(2)
	m.wg.Wait()
	if err := errors.Join(m.errs...); err == nil || !strings.Contains(err.Error(), "rank 1 trains another job than rank 0") {
		t.Errorf("error %v", err)
	}
}

// A fault of one rank's own ends that rank; the others go on.
func TestFaultOfOneRankEndsThatRank(t *testing.T) {
	want := undisturbed(t, adamGated)
	for _, on := range []trainer.Event{trainer.Boundary, trainer.Reduced, trainer.Rates, trainer.Stepped} {
		m := newMeeting(t)
		m.edit = func(id int, c *trainer.Config) {
			adamGated(id, c)
			c.Methods = append(c.Methods, failing{id == 1, on})
		}
		m.start(3)
		m.wg.Wait()
		if len(m.errs) != 1 || !errors.Is(m.errs[0], errFails) {
			t.Fatalf("fault at %v: errors %v, want that of one rank", on, m.errs)
		}
		m.errs = nil
		m.finished(want)
		if fmt.Sprint(m.worlds) != "[3 2]" {
			t.Errorf("fault at %v: worlds %v", on, m.worlds)
		}
	}
}

var errFails = errors.New("the disk burns")

// failing is a method that fails in step 4 on one rank.
type failing struct {
	active bool
	on     trainer.Event
}

func (f failing) Name() string { return "failing" }
func (f failing) On(e trainer.Event, r *trainer.Run) error {
	if f.active && e == f.on && r.Step >= 4 {
		return errFails
	}
	return nil
}
func (f failing) Save() (json.RawMessage, error) { return nil, nil }
func (f failing) Load(json.RawMessage) error     { return nil }

// What is no number on one rank stops all of them in the same step.
func TestNaNOnOneRankStopsAll(t *testing.T) {
	m := newMeeting(t)
	m.edit = func(id int, c *trainer.Config) {
		c.Methods = append(c.Methods, watcher(func(r *trainer.Run) {
			if id == 1 && r.Step == 4 {
				corrupt(r, float32(math.NaN()))
			}
		}))
	}
	m.start(3)
	m.wg.Wait()
	if len(m.errs) != 3 {
		t.Fatalf("errors %v, want one of each rank", m.errs)
	}
	for _, err := range m.errs {
		if !errors.Is(err, trainer.ErrDiverged) || !strings.Contains(err.Error(), "step 4") {
			t.Errorf("error %v, want divergence in step 4", err)
		}
	}
}

func TestFixedGroupEndsWithItsCommunicator(t *testing.T) {
	comms := group(t, 2)
	comms[1].Abort(errors.New("gone"))
	cfg := toy(t)
	cfg.Comm = comms[0]
	if _, err := trainer.Train(context.Background(), cfg, nil); !errors.Is(err, collective.ErrAborted) {
		t.Errorf("error %v, want that of the communicator", err)
	}
}

// The same over TCP.
func TestDeathsOverTCP(t *testing.T) {
	want := undisturbed(t, adamGated)
	for _, k := range []int{0, 1, 4, 11, 20, 33, 40} {
		m := newMeeting(t)
		m.open = loopback
		m.hook = func(id, op int, done bool) bool { return id == 1 && op == k && done == (k%2 == 0) }
		m.edit = edit(adamGated).with(func() trainer.Method { return rejoin(m) })
		m.start(3)
		m.finished(want)
	}
}

// loopback opens a group of ranks in this process that talk TCP.
func loopback(world int) ([]collective.Comm, error) {
	options, peers := make([]tcp.Options, world), make([]tcp.Peer, world)
	for r := range world {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		options[r] = tcp.Options{Listener: ln, Plain: true}
		peers[r] = tcp.Peer{Rank: collective.Rank(r), Addr: ln.Addr().String()}
	}
	comms, errs := make([]collective.Comm, world), make([]error, world)
	var wg sync.WaitGroup
	for r := range world {
		wg.Go(func() {
			comms[r], errs[r] = tcp.Open(context.Background(), collective.Gen{}, collective.Rank(r), peers, options[r])
		})
	}
	wg.Wait()
	return comms, errors.Join(errs...)
}

// Every rank that leads reports and saves; Progress follows.
func TestLeadersReportAndSave(t *testing.T) {
	dir := t.TempDir()
	m := newMeeting(t)
	m.edit = func(id int, c *trainer.Config) {
		c.Dir, c.SaveEvery = fmt.Sprintf("%s/%d", dir, id), 5
		c.Leads = func(i collective.Info) bool { return i.Rank%2 == 0 }
	}
	m.start(3)
	m.finished(undisturbed(t, sgd))
	for id := range 3 {
		_, err := checkpoint.Store{Dir: fmt.Sprintf("%s/%d", dir, id)}.Load(fmt.Sprintf("%s/%d/step-00000010", dir, id))
		if leads := id%2 == 0; leads != (err == nil) || leads != (len(m.records[id].list) > 0) {
			t.Errorf("rank %d: %d records, checkpoint: %v", id, len(m.records[id].list), err)
		}
		p := m.runs[id].Progress()
		if p.Step != 10 || p.Steps != 10 || p.Samples != 112 || p.Rank != id || p.World != 3 || p.Generation != 1 {
			t.Errorf("rank %d: %+v", id, p)
		}
		if !(p.SamplesPerSec > 0) || p.Exposed <= 0 || p.Exposed > p.CommTime || p.CommTime > p.StepTime {
			t.Errorf("rank %d: times %+v", id, p)
		}
	}
}
