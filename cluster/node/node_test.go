package node_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/espalier-ml/espalier/cluster"
	"github.com/espalier-ml/espalier/cluster/control"
	"github.com/espalier-ml/espalier/cluster/node"
)

func open(t *testing.T, c node.Config) cluster.Session {
	t.Helper()
	if c.Self.ID == "" {
		c.Self = cluster.Node{ID: "a", Host: "h", Build: "b", Job: "j"}
	}
	s, err := node.New(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return s
}

// want takes the next order and checks what it says.
func want(t *testing.T, s cluster.Session, kind cluster.OrderKind, n uint64) cluster.Order {
	t.Helper()
	select {
	case o, ok := <-s.Orders():
		if !ok || o.Kind != kind || o.N != n {
			t.Fatalf("order %v of generation %d (%q), channel open: %t; want %v of %d; view %+v", o.Kind, o.N, o.Cause, ok, kind, n, s.View())
		}
		return o
	case <-time.After(time.Minute):
		t.Fatalf("no order in a minute, want %v of %d; view %+v", kind, n, s.View())
	}
	panic("unreachable")
}

func ended(t *testing.T, s cluster.Session) {
	t.Helper()
	if o, ok := <-s.Orders(); ok {
		t.Fatalf("order %v after the last", o.Kind)
	}
}

func workers(n ...int) (w []string) {
	for _, i := range n {
		w = append(w, fmt.Sprintf("127.0.0.1:%d", i))
	}
	return w
}

func TestOneNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, node.Config{MinNodes: 1, MaxNodes: 1, Store: control.NewMemory()})
		began := time.Now()
		s.Announce(workers(1, 2, 3), 0)
		o := want(t, s, cluster.Form, 1)
		if o.Generation.World() != 3 || time.Since(began) > 100*time.Millisecond {
			t.Fatalf("world %d after %v", o.Generation.World(), time.Since(began))
		}
		s.Opened(1)
		synctest.Wait()
		if v := s.View(); v.Phase != "running" || v.Leader != "a" {
			t.Fatalf("phase %s, leader %s", v.Phase, v.Leader)
		}

		began = time.Now() // a worker dies
		s.Announce(workers(1, 3), 7)
		s.Broke(1, cluster.Fault{Why: "worker 1 was killed", Blame: "a"})
		o = want(t, s, cluster.Form, 2)
		if !slices.Equal(o.Generation.Nodes[0].Workers, workers(1, 3)) || time.Since(began) > 100*time.Millisecond {
			t.Fatalf("%v after %v", o.Generation.Nodes, time.Since(began))
		}
		s.Opened(2)

		time.Sleep(10 * time.Second)
		s.Announce(workers(1, 3, 4), 9) // and is replaced
		want(t, s, cluster.Drain, 2)
		s.Drained(2)
		if o = want(t, s, cluster.Form, 3); o.Generation.World() != 3 {
			t.Fatal(o.Generation)
		}
		s.Opened(3)
		s.Finish()
		want(t, s, cluster.Finished, 3)
		ended(t, s)
	})
}
