package node_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/espalier-ml/espalier/cluster"
	"github.com/espalier-ml/espalier/cluster/clustertest"
	"github.com/espalier-ml/espalier/cluster/control"
	"github.com/espalier-ml/espalier/cluster/node"
)

// run is a cluster of sessions on one store.
type run struct {
	t      *testing.T
	store  *control.Memory
	gossip clustertest.Gossip
	stores map[string]*control.Memory
	min    int
}

func newRun(t *testing.T, min int) *run {
	return &run{t: t, store: control.NewMemory(), stores: map[string]*control.Memory{}, min: min}
}

// start runs a node with one worker. A boot tells its starts apart.
func (r *run) start(id, boot, path string) cluster.Session {
	h := r.store.Handle()
	r.stores[id] = h
	s := open(r.t, node.Config{
		Self:     cluster.Node{ID: cluster.NodeID(id), Boot: boot, Host: "host-" + id, Build: "b", Job: "j"},
		MinNodes: r.min, Store: h, Members: r.gossip.Join(cluster.NodeID(id), boot), Path: path,
	})
	s.Announce([]string{id + ":1"}, 0)
	return s
}

// formed takes the next order of each and checks the members, in order of rank.
func formed(t *testing.T, n uint64, members string, ss ...cluster.Session) {
	t.Helper()
	for _, s := range ss {
		o := want(t, s, cluster.Form, n)
		var got []string
		for _, x := range o.Generation.Nodes {
			got = append(got, string(x.ID))
		}
		if strings.Join(got, " ") != members {
			t.Fatalf("generation %d of %v, want %s", n, got, members)
		}
	}
	for _, s := range ss {
		s.Opened(n)
	}
	synctest.Wait()
}

func all(t *testing.T, kind cluster.OrderKind, n uint64, ss ...cluster.Session) {
	t.Helper()
	for _, s := range ss {
		want(t, s, kind, n)
	}
}

func TestNodesFormLoseJoinAndFinish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRun(t, 2)
		c, a, b := r.start("c", "1", ""), r.start("a", "1", ""), r.start("b", "1", "")
		formed(t, 1, "a b c", a, b, c)

		began := time.Now() // c dies, its sockets tell
		c.Close(context.Background())
		for _, s := range []cluster.Session{a, b} {
			s.Broke(1, cluster.Fault{Why: "c reset its connection", Blame: "c", Proof: true})
		}
		formed(t, 2, "a b", a, b)
		if took := time.Since(began); took > 3*time.Second {
			t.Fatalf("%v from the death of a node to the next generation", took)
		}

		time.Sleep(10 * time.Second)
		c = r.start("c", "2", "") // and comes back
		all(t, cluster.Drain, 2, a, b)
		a.Drained(2)
		b.Drained(2)
		formed(t, 3, "a b c", a, b, c)

		time.Sleep(10 * time.Second)
		a.Leave()
		all(t, cluster.Drain, 3, a, b, c)
		for _, s := range []cluster.Session{a, b, c} {
			s.Drained(3)
		}
		want(t, a, cluster.Left, 3)
		ended(t, a)
		formed(t, 4, "b c", b, c)
		b.Finish()
		c.Finish()
		all(t, cluster.Finished, 4, b, c)
	})
}

func TestSurvivorsKeepTheirRanks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRun(t, 1)
		c, d := r.start("c", "1", ""), r.start("d", "1", "")
		formed(t, 1, "c d", c, d)
		time.Sleep(10 * time.Second)
		a := r.start("a", "1", "")
		all(t, cluster.Drain, 1, c, d)
		c.Drained(1)
		d.Drained(1)
		formed(t, 2, "c d a", c, d, a)
	})
}

func TestTheStoreAloneStopsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRun(t, 1)
		a, b := r.start("a", "1", ""), r.start("b", "1", "")
		formed(t, 1, "a b", a, b)
		for _, h := range r.stores {
			h.Outage(true)
		}
		time.Sleep(time.Hour)
		for _, s := range []cluster.Session{a, b} {
			select {
			case o := <-s.Orders():
				t.Fatalf("order %v in an outage of the store", o.Kind)
			default:
			}
		}
		a.Broke(1, cluster.Fault{Why: "worker of b is silent", Blame: "b"}) // no change now, but later
		time.Sleep(time.Minute)
		for _, h := range r.stores {
			h.Outage(false)
		}
		want(t, b, cluster.Abort, 1)
		formed(t, 2, "a b", a, b)
	})
}

func TestLeaderDies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRun(t, 1)
		a, b, c := r.start("a", "1", ""), r.start("b", "1", ""), r.start("c", "1", "")
		ss := map[cluster.NodeID]cluster.Session{"a": a, "b": b, "c": c}
		formed(t, 1, "a b c", a, b, c)
		leader := a.View().Leader
		began := time.Now()
		ss[leader].Close(context.Background())
		delete(ss, leader)
		for _, s := range ss {
			s.Broke(1, cluster.Fault{Why: "connection was reset", Blame: leader, Proof: true})
		}
		for _, s := range ss {
			if o := want(t, s, cluster.Form, 2); o.Generation.World() != 2 {
				t.Fatalf("world %d", o.Generation.World())
			}
			s.Opened(2)
		}
		if took := time.Since(began); took > 3*time.Second {
			t.Fatalf("a new leader took %v", took)
		}
	})
}

// TestFlakyStore: errors before and after writes took place, and old answers.
func TestFlakyStore(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			r := newRun(t, 2)
			a, b := r.start("a", "1", ""), r.start("b", "1", "")
			rng := rand.New(rand.NewPCG(seed, 0))
			flaky := errors.New("flaky")
			for _, h := range r.stores {
				draws := make(chan float64, 10000)
				for range cap(draws) {
					draws <- rng.Float64()
				}
				fail := func(control.Op, string) error {
					if <-draws < 0.2 {
						return flaky
					}
					return nil
				}
				h.Inject(control.Faults{Before: fail, After: fail, Stale: func(string) int {
					if <-draws < 0.3 {
						return 1
					}
					return 0
				}})
			}
			for n := uint64(1); n < 6; n++ {
				formed(t, n, "a b", a, b)
				a.Broke(n, cluster.Fault{Why: "test"})
				want(t, b, cluster.Abort, n)
			}
		})
	}
}

// TestRestartRemembers: a node that was in generation 3 of a store that is
// now empty goes on with 4.
func TestRestartRemembers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "memory")
		r := newRun(t, 1)
		a := r.start("a", "1", path)
		for n := uint64(1); n <= 3; n++ {
			formed(t, n, "a", a)
			a.Broke(n, cluster.Fault{Why: "test"})
		}
		if o := want(t, a, cluster.Form, 4); o.Generation.N != 4 {
			t.Fatal(o)
		}
		a.Close(context.Background())
		r = newRun(t, 1)
		a = r.start("a", "2", path)
		formed(t, 5, "a", a)
	})
}

func TestOtherJobsAreSentAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRun(t, 1)
		a := r.start("a", "1", "")
		formed(t, 1, "a", a)
		h := r.store.Handle()
		x := open(t, node.Config{
			Self:  cluster.Node{ID: "x", Boot: "1", Host: "h", Build: "b", Job: "another"},
			Store: h, Members: r.gossip.Join("x", "1"),
		})
		x.Announce([]string{"x:1"}, 0)
		o := want(t, x, cluster.Excluded, 0)
		if !strings.Contains(o.Cause, "job another") {
			t.Fatal(o.Cause)
		}
		y := open(t, node.Config{ // a second process by the name of a
			Self:  cluster.Node{ID: "a", Boot: "2", Host: "h", Build: "b", Job: "j"},
			Store: h, Members: r.gossip.Join("a", "2"),
		})
		if o = want(t, a, cluster.Excluded, 1); !strings.Contains(o.Cause, "another process") {
			t.Fatal(o.Cause)
		}
		y.Announce([]string{"y:1"}, 0)
		if o = want(t, y, cluster.Form, 2); o.Generation.Nodes[0].Boot != "2" {
			t.Fatal(o)
		}
	})
}

// TestCloseAtAnyTime leaves nothing behind: synctest fails if goroutines stay.
func TestCloseAtAnyTime(t *testing.T) {
	for _, after := range []time.Duration{0, time.Millisecond, time.Second} {
		t.Run(fmt.Sprint(after), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRun(t, 1)
				a := r.start("a", "1", "")
				time.Sleep(after)
				r.stores["a"].Outage(after == time.Second)
				a.Leave()
				if err := a.Close(context.Background()); err != nil {
					t.Fatal(err)
				}
				for range a.Orders() {
				}
			})
		})
	}
}
