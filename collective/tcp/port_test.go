package tcp_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/espalier-ml/espalier/collective"
	"github.com/espalier-ml/espalier/collective/tcp"
)

// ports are listeners of processes that form one group after another.
func ports(t *testing.T, n int) []*tcp.Port {
	t.Helper()
	var ps []*tcp.Port
	for range n {
		p, err := tcp.Listen("127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { p.Close() })
		ps = append(ps, p)
	}
	return ps
}

func peersAt(ps []*tcp.Port) (peers []tcp.Peer) {
	for r, p := range ps {
		peers = append(peers, tcp.Peer{Rank: collective.Rank(r), Addr: p.Addr()})
	}
	return peers
}

// generation opens a group of those processes, and adds up ones.
func generation(t *testing.T, n uint64, ps []*tcp.Port) []collective.Comm {
	t.Helper()
	comms := make([]collective.Comm, len(ps))
	var wg sync.WaitGroup
	for r := range ps {
		wg.Go(func() {
			c, err := tcp.Open(context.Background(), collective.Gen{N: n}, collective.Rank(r), peersAt(ps), tcp.Options{Plain: true, Port: ps[r]})
			if err != nil {
				t.Error(err)
				return
			}
			comms[r] = c
			ones := []int64{1}
			if err := wait(c.AllReduce(collective.Int64s(ones), collective.Sum, collective.OpMeta{})); err != nil || ones[0] != int64(len(ps)) {
				t.Errorf("generation %d rank %d: sum %d, %v", n, r, ones[0], err)
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
	return comms
}

// Processes leave and join, ranks change, ports stay.
func TestOnePortForManyGenerations(t *testing.T) {
	ps := ports(t, 4)
	members := [][]int{{0, 1, 2, 3}, {0, 1, 3}, {3, 1}, {1}, {2, 1, 0, 3}}
	var before []collective.Comm
	for n, who := range members {
		var now []*tcp.Port
		for _, p := range who {
			now = append(now, ps[p])
		}
		comms := generation(t, uint64(n+1), now)
		each(before, func(c collective.Comm) { c.Close(context.Background()) })
		before = comms
	}
	each(before, func(c collective.Comm) { c.Close(context.Background()) })
}

// A rank that comes with an old generation is told so, at once, and so is one
// that dials into a group that is complete.
func TestStraysOfOldGenerations(t *testing.T) {
	ps := ports(t, 3)
	each(generation(t, 5, ps[:2]), func(c collective.Comm) {
		if c.Info().Rank == 1 {
			return
		}
		for gen, words := range map[uint64]string{4: "generation 4, want 5", 5: "generation 5 is complete"} {
			peers := peersAt(ps[:2])
			peers[1].Addr = ps[2].Addr()
			_, err := tcp.Open(context.Background(), collective.Gen{N: gen}, 1, peers, tcp.Options{Plain: true, Port: ps[2]})
			if !errors.Is(err, tcp.ErrRefused) || !strings.Contains(err.Error(), words) {
				t.Errorf("generation %d: %v, want %q", gen, err, words)
			}
		}
	})
}

// A rank that is ahead is let in when the other follows, however long that
// takes: it waits at the port, then comes again.
func TestRankAheadWaits(t *testing.T) {
	ps := ports(t, 2)
	old := generation(t, 1, ps)
	peers := peersAt(ps)
	var wg sync.WaitGroup
	var ahead collective.Comm
	wg.Go(func() {
		var err error
		if ahead, err = tcp.Open(context.Background(), collective.Gen{N: 2}, 1, peers, tcp.Options{Plain: true, Port: ps[1]}); err != nil {
			t.Error(err)
		}
	})
	each(old, func(c collective.Comm) { c.Close(context.Background()) })
	behind, err := tcp.Open(context.Background(), collective.Gen{N: 2}, 0, peers, tcp.Options{Plain: true, Port: ps[0]})
	if err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	each([]collective.Comm{behind, ahead}, func(c collective.Comm) {
		if err := wait(c.Barrier(collective.OpMeta{})); err != nil {
			t.Error(err)
		}
		c.Close(context.Background())
	})
}

// A port waits for its first group, and no longer than Close.
func TestPortBeforeAnyGroup(t *testing.T) {
	ps := ports(t, 2)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := tcp.Open(ctx, collective.Gen{}, 1, peersAt(ps), tcp.Options{Plain: true, Port: ps[1]}); err == nil {
			t.Error("a group with a process that has opened none")
		}
	})
	cancel()
	ps[0].Close()
	wg.Wait()
}
