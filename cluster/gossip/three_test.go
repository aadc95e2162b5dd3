package gossip_test

import (
	"context"
	"fmt"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/espalier-ml/espalier/cluster"
	"github.com/espalier-ml/espalier/cluster/control"
	"github.com/espalier-ml/espalier/cluster/gossip"
	"github.com/espalier-ml/espalier/cluster/secure"
)

const build = "v1"

// station is what a node runs: papers, gossip and the store.
type station struct {
	papers  *secure.Credentials
	members *gossip.Members
	store   *control.KV
}

var timing = gossip.Timing{
	Ping: 100 * time.Millisecond, Silence: 400 * time.Millisecond,
	Probe: 200 * time.Millisecond, Answer: 100 * time.Millisecond, Rejoin: time.Second,
}

func (s *station) gossip(ctx context.Context, t *testing.T, host int, seeds ...string) {
	t.Helper()
	var err error
	s.members, err = gossip.Join(ctx, gossip.Config{
		Run: "fig", Node: s.papers.Identity.Node, Boot: fmt.Sprint("boot-", host), Build: build,
		Bind: fmt.Sprintf("127.0.0.%d:0", host), Seeds: seeds, Credentials: s.papers, Timing: timing,
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Three nodes on 127.0.0.1, .2 and .3: the first makes the run and lets the
// others in by tokens; all links are secured; one node dies and the others
// hear of it and go on writing.
func TestThreeNodesFromTokensToTheDeathOfOne(t *testing.T) {
	before := runtime.NumGoroutine()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()

	// The first node.
	run, err := secure.NewRun("fig")
	if err != nil {
		t.Fatal(err)
	}
	first := &station{}
	if first.papers, err = run.Issue(secure.Control, "node-1"); err != nil {
		t.Fatal(err)
	}
	server, err := control.StartServer(control.ServerConfig{
		Run: "fig", Node: "node-1", Dir: t.TempDir(), Listen: "127.0.0.1:0", Credentials: first.papers,
	})
	if err != nil {
		t.Fatal(err)
	}
	if first.store, err = control.Connect(ctx, control.Config{Run: "fig", Node: "node-1", Server: server, Credentials: first.papers}); err != nil {
		t.Fatal(err)
	}
	first.gossip(ctx, t, 1)
	gate, err := secure.NewGate(secure.GateConfig{
		Credentials: first.papers, Build: build,
		Contact: func() (c, g []string) { return []string{server.Addr()}, []string{first.members.Addr()} },
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := gate.Adopt(ctx, first.store); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	open, shut := context.WithCancel(ctx)
	served := make(chan error, 1)
	go func() { served <- gate.Serve(open, l) }()

	// Two more.
	all := []*station{first}
	for host := 2; host <= 3; host++ {
		token, err := run.Token(secure.Agent, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		node := cluster.NodeID(fmt.Sprintf("node-%d", host))
		joined, err := secure.Join(ctx, token, secure.Facts{Addrs: []string{l.Addr().String()}, Node: node, Build: build})
		if err != nil {
			t.Fatal(err)
		}
		s := &station{papers: joined.Credentials}
		s.gossip(ctx, t, host, joined.Gossip...)
		if s.store, err = control.Connect(ctx, control.Config{Run: "fig", Node: node, Addrs: joined.Control, Credentials: joined.Credentials}); err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}

	// One dies; the others hear of it and the store is there for them.
	dies := all[2]
	hear(ctx, t, all[1], "node-3", cluster.Alive)
	ended, end := context.WithCancel(ctx)
	end()
	dies.members.Close(ended)
	dies.store.Close()
	hear(ctx, t, first, "node-3", cluster.Dead)
	hear(ctx, t, all[1], "node-3", cluster.Dead)
	rev, err := all[1].store.Create(ctx, "gen", []byte("2"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := first.store.Update(ctx, "gen", []byte("3"), rev); err != nil {
		t.Fatal(err)
	}

	// Nothing is left.
	for _, s := range all[:2] {
		s.members.Close(ctx)
		s.store.Close()
	}
	shut()
	if err := <-served; err != nil {
		t.Error(err)
	}
	addr := server.Addr()
	server.Close()
	if c, err := net.Dial("tcp", addr); err == nil {
		c.Close()
		t.Errorf("%s is still open", addr)
	}
	for runtime.NumGoroutine() > before {
		select {
		case <-time.After(10 * time.Millisecond): // libraries end in their own time
		case <-ctx.Done():
			t.Fatalf("goroutines are left:\n%s", stacks())
		}
	}
}

func hear(ctx context.Context, t *testing.T, s *station, node cluster.NodeID, want cluster.Health) {
	t.Helper()
	for {
		select {
		case e := <-s.members.Events():
			if e.Node == node && e.Health == want {
				return
			}
		case <-ctx.Done():
			t.Fatalf("%v never heard that %s is %v", s.papers.Identity, node, want)
		}
	}
}

func stacks() string {
	b := make([]byte, 1<<20)
	b = b[:runtime.Stack(b, true)]
	return strings.TrimSpace(string(b))
}
