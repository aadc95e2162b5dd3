package control_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"go.uber.org/zap/zaptest"

	"github.com/espalier-ml/espalier/cluster"
	"github.com/espalier-ml/espalier/cluster/control"
	"github.com/espalier-ml/espalier/cluster/control/storetest"
	"github.com/espalier-ml/espalier/cluster/secure"
)

func issue(t *testing.T, r *secure.Run, role secure.Role, node cluster.NodeID) *secure.Credentials {
	t.Helper()
	c, err := r.Issue(role, node)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func newRun(t *testing.T) *secure.Run {
	t.Helper()
	r, err := secure.NewRun("fig")
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 2*storetest.Bound)
	t.Cleanup(cancel)
	return ctx
}

// single is a control set of one.
func single(t *testing.T, r *secure.Run) *control.Server {
	t.Helper()
	s, err := control.StartServer(control.ServerConfig{
		Run: "fig", Node: "node-0", Dir: t.TempDir(), Listen: "127.0.0.1:0",
		Credentials: issue(t, r, secure.Control, "node-0"),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func connect(t *testing.T, cfg control.Config) *control.KV {
	t.Helper()
	s, err := control.Connect(soon(t), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestKVIsAStore(t *testing.T) {
	r := newRun(t)
	storetest.Run(t, func(t *testing.T) (a, b cluster.Store) {
		s := single(t, r)
		return connect(t, control.Config{Run: "fig", Node: "node-0", Server: s, Credentials: issue(t, r, secure.Control, "node-0")}),
			connect(t, control.Config{Run: "fig", Node: "node-1", Addrs: []string{s.Addr()}, Credentials: issue(t, r, secure.Agent, "node-1")})
	})
}

func TestKVInPlainTextOnLoopback(t *testing.T) {
	s, err := control.StartServer(control.ServerConfig{Run: "fig", Node: "node-0", Dir: t.TempDir(), Listen: "127.0.0.1:0", Plain: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	a := connect(t, control.Config{Run: "fig", Node: "node-0", Server: s, Plain: true})
	b := connect(t, control.Config{Run: "fig", Node: "node-1", Addrs: []string{s.Addr()}, Plain: true})
	if _, err := a.Create(soon(t), "gen", []byte("1")); err != nil {
		t.Fatal(err)
	}
	storetest.Await(soon(t), t, b, "gen", "1")
}

func TestKVIsKeptAcrossARestart(t *testing.T) {
	cfg := control.ServerConfig{Run: "fig", Node: "node-0", Dir: t.TempDir(), Listen: "127.0.0.1:0", Plain: true}
	var rev cluster.Rev
	for i := range 3 {
		s, err := control.StartServer(cfg)
		if err != nil {
			t.Fatal(err)
		}
		kv := connect(t, control.Config{Run: "fig", Node: "node-0", Server: s, Plain: true})
		if i == 0 {
			rev, err = kv.Create(soon(t), "gen", []byte("0"))
		} else {
			rev, err = kv.Update(soon(t), "gen", fmt.Append(nil, i), rev)
		}
		if err != nil {
			t.Fatal(err)
		}
		kv.Close()
		s.Close()
	}
}

func TestRolesMayDoNoMoreThanTheyMust(t *testing.T) {
	r := newRun(t)
	s := single(t, r)
	ctx := soon(t)
	seed := connect(t, control.Config{Run: "fig", Node: "node-0", Server: s, Credentials: issue(t, r, secure.Control, "node-0")})
	revs := map[string]cluster.Rev{}
	keys := []string{"gen", "secure.keyring", "operator.command"}
	for _, key := range keys {
		rev, err := seed.Create(ctx, key, []byte("old"))
		if err != nil {
			t.Fatal(err)
		}
		revs[key] = rev
	}
	for _, c := range []struct {
		role   secure.Role
		writes string
	}{
		{secure.Observer, ""},
		{secure.Operator, "operator.command"},
		{secure.Agent, "gen"},
		{secure.Control, "gen secure.keyring operator.command"},
	} {
		kv := connect(t, control.Config{Run: "fig", Node: "other", Addrs: []string{s.Addr()},
			Credentials: issue(t, r, c.role, "other")})
		for _, key := range keys {
			t.Run(fmt.Sprintf("%v/%s", c.role, key), func(t *testing.T) {
				may := strings.Contains(c.writes, key)
				rev, err := kv.Update(ctx, key, []byte("new"), revs[key])
				if (err == nil) != may || !may && !errors.Is(err, secure.ErrRole) {
					t.Errorf("write: error %v, want allowed: %v", err, may)
				}
				if err == nil {
					revs[key] = rev
				}
				if e, err := kv.Get(ctx, key); err != nil || e.Rev != revs[key] {
					t.Errorf("read: revision %d, error %v, want %d", e.Rev, err, revs[key])
				}
			})
		}
	}
}

func TestServerRefuses(t *testing.T) {
	r, other := newRun(t), newRun(t)
	s := single(t, r)
	ctx := soon(t)
	connect(t, control.Config{Run: "fig", Node: "node-0", Server: s, Credentials: issue(t, r, secure.Control, "node-0")})

	// mixed has the certificate of one role with the key of another.
	mixed := func(cert, key secure.Role) *secure.Credentials {
		var papers, others map[string]any
		fill(t, issue(t, r, cert, "node-1"), &papers)
		fill(t, issue(t, r, key, "node-1"), &others)
		papers["nkey"] = others["nkey"]
		b, err := json.Marshal(papers)
		if err != nil {
			t.Fatal(err)
		}
		c, err := secure.ParseCredentials(b)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	worker, err := secure.ParseCredentials(issue(t, r, secure.Agent, "node-1").ForWorker().Reveal())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		creds *secure.Credentials
	}{
		{"another run", issue(t, other, secure.Agent, "node-1")},
		{"an observer with an agent's key", mixed(secure.Observer, secure.Agent)},
		{"an agent with a control node's key", mixed(secure.Agent, secure.Control)},
		{"a worker", worker},
	} {
		t.Run(c.name, func(t *testing.T) {
			short, cancel := context.WithTimeout(ctx, 1e9)
			defer cancel()
			kv, err := control.Connect(short, control.Config{Run: "fig", Node: "node-1", Addrs: []string{s.Addr()}, Credentials: c.creds})
			if err == nil {
				kv.Close()
				t.Error("let in")
			}
		})
	}
	t.Run("plain text", func(t *testing.T) {
		short, cancel := context.WithTimeout(ctx, 1e9)
		defer cancel()
		kv, err := control.Connect(short, control.Config{Run: "fig", Node: "node-1", Addrs: []string{s.Addr()}, Plain: true})
		if err == nil {
			kv.Close()
			t.Error("let in")
		}
	})
}

func fill(t *testing.T, c *secure.Credentials, into *map[string]any) {
	t.Helper()
	if err := json.Unmarshal(c.Marshal().Reveal(), into); err != nil {
		t.Fatal(err)
	}
}

func TestConfigurationsThatAreRefused(t *testing.T) {
	r := newRun(t)
	agent := issue(t, r, secure.Agent, "node-1")
	self := issue(t, r, secure.Control, "node-0")
	ok := control.ServerConfig{Run: "fig", Node: "node-0", Dir: t.TempDir(), Listen: "127.0.0.1:0", Credentials: self}
	for _, c := range []struct {
		name   string
		change func(c *control.ServerConfig)
		want   string
	}{
		{"no credentials", func(c *control.ServerConfig) { c.Credentials = nil }, "no credentials"},
		{"an agent's", func(c *control.ServerConfig) { c.Credentials = agent }, "want a control node"},
		{"plain beyond loopback", func(c *control.ServerConfig) { c.Credentials, c.Plain, c.Listen = nil, true, "0.0.0.0:0" }, "loopback only"},
		{"two peers", func(c *control.ServerConfig) { c.Peers = []string{"a:1", "b:1"} }, "want none or 3"},
		{"not among peers", func(c *control.ServerConfig) { c.Peers = []string{"a:1", "b:1", "c:1"} }, "is none of"},
		{"no folder", func(c *control.ServerConfig) { c.Dir = "" }, "no folder"},
		{"no port", func(c *control.ServerConfig) { c.Listen = "127.0.0.1" }, "missing port"},
		{"strange name", func(c *control.ServerConfig) { c.Node = "a b" }, "one word"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := ok
			c.change(&cfg)
			s, err := control.StartServer(cfg)
			if err == nil {
				s.Close()
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
	for _, cfg := range []control.Config{
		{Run: "fig", Node: "n", Addrs: []string{"127.0.0.1:1"}},
		{Run: "fig", Node: "n", Addrs: []string{"10.0.0.1:1"}, Plain: true},
		{Run: "fig", Node: "n", Credentials: agent},
		{Run: "a b", Node: "n", Addrs: []string{"127.0.0.1:1"}, Plain: true},
		{Run: "fig", Node: "n", External: &control.External{URLs: []string{"nats://nats:4222"}}},
		{Run: "fig", Node: "n", External: &control.External{URLs: []string{"nats://nats:4222"}}, Plain: true},
		{Run: "fig", Node: "n", External: &control.External{}},
		{Run: "fig", Node: "n", External: &control.External{URLs: []string{"tls://nats:4222"}, NKeySeed: "/nowhere"}},
	} {
		kv, err := control.Connect(soon(t), cfg)
		if err == nil {
			kv.Close()
			t.Errorf("%+v: no error", cfg)
		} else if errors.Is(err, control.ErrUnavailable) {
			t.Errorf("%+v: tried: %v", cfg, err)
		}
	}
}

// The store of somebody else's NATS, here one of our servers.
func TestKVInAnExternalNATS(t *testing.T) {
	s, err := control.StartServer(control.ServerConfig{Run: "other", Node: "theirs", Dir: t.TempDir(), Listen: "127.0.0.1:0", Plain: true, Log: zaptest.NewLogger(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	external := &control.External{URLs: []string{"nats://" + s.Addr()}}
	a := connect(t, control.Config{Run: "fig", Node: "node-0", External: external, Plain: true})
	b := connect(t, control.Config{Run: "fig", Node: "node-1", External: external, Plain: true})
	if _, err := a.Create(soon(t), "gen", []byte("1")); err != nil {
		t.Fatal(err)
	}
	storetest.Await(soon(t), t, b, "gen", "1")
}

// A relay whose link can be cut.
func TestKVLivesThroughLostConnections(t *testing.T) {
	s, err := control.StartServer(control.ServerConfig{Run: "fig", Node: "node-0", Dir: t.TempDir(), Listen: "127.0.0.1:0", Plain: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	near := connect(t, control.Config{Run: "fig", Node: "node-0", Server: s, Plain: true})
	link := newRelay(t, s.Addr())
	far := connect(t, control.Config{Run: "fig", Node: "node-1", Addrs: []string{link.addr()}, Plain: true})
	ctx := soon(t)
	w, err := far.Watch(ctx, "")
	if err != nil {
		t.Fatal(err)
	}
	var rev cluster.Rev
	for i := range 3 {
		link.cut(true)
		if _, err := far.Get(ctx, "gen"); !errors.Is(err, control.ErrUnavailable) {
			t.Errorf("get during an outage: %v", err)
		}
		if _, err := far.Update(ctx, "late", nil, 1); !errors.Is(err, control.ErrUnavailable) {
			t.Errorf("update during an outage: %v", err)
		}
		if i == 0 {
			rev, err = near.Create(ctx, "gen", fmt.Append(nil, i))
		} else {
			rev, err = near.Update(ctx, "gen", fmt.Append(nil, i), rev)
		}
		if err != nil {
			t.Fatal(err)
		}
		link.cut(false)
		select {
		case e := <-w:
			if e.Rev != rev {
				t.Fatalf("watched %+v, want revision %d", e, rev)
			}
		case <-ctx.Done():
			t.Fatal("the watch did not come back")
		}
	}
	storetest.Await(ctx, t, far, "gen", "2")
	if _, err := near.Get(ctx, "late"); !errors.Is(err, cluster.ErrNotFound) {
		t.Errorf("written after its operation had failed: %v", err)
	}
}
