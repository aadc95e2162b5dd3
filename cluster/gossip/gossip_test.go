package gossip

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/espalier-ml/espalier/cluster"
	"github.com/espalier-ml/espalier/cluster/control"
	"github.com/espalier-ml/espalier/cluster/secure"
)

var quick = Timing{
	Ping: 100 * time.Millisecond, Silence: 400 * time.Millisecond,
	Probe: 200 * time.Millisecond, Answer: 100 * time.Millisecond, Rejoin: 300 * time.Millisecond,
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
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// config is that of node-i, at 127.0.0.(i+1).
func config(t *testing.T, r *secure.Run, i int, seeds ...*Members) Config {
	t.Helper()
	node := cluster.NodeID(fmt.Sprintf("node-%d", i))
	c, err := r.Issue(secure.Agent, node)
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{
		Run: r.ID, Node: node, Boot: "boot-" + string(node), Build: "v1",
		Bind: fmt.Sprintf("127.0.0.%d:0", i+1), Credentials: c, Timing: quick,
	}
	for _, s := range seeds {
		cfg.Seeds = append(cfg.Seeds, s.Addr())
	}
	return cfg
}

func join(t *testing.T, cfg Config) *Members {
	t.Helper()
	m, err := Join(soon(t), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close(ended()) })
	return m
}

// trio is three members that know each other.
func trio(t *testing.T, r *secure.Run) []*Members {
	t.Helper()
	a := join(t, config(t, r, 0))
	b := join(t, config(t, r, 1, a))
	c := join(t, config(t, r, 2, a))
	all := []*Members{a, b, c}
	for i, m := range all {
		for j, other := range all {
			if i != j {
				await(t, m, other.cfg.Node, other.cfg.Boot, cluster.Alive)
			}
		}
	}
	return all
}

// heard are the events that await has read on behalf of others.
var heard = map[*Members][]cluster.MemberEvent{}

// await reads events until what a member should hear of another, and returns
// what it heard of that one before.
func await(t *testing.T, m *Members, node cluster.NodeID, boot string, want cluster.Health) (before []cluster.Health) {
	t.Helper()
	ctx := soon(t)
	for i := 0; ; i++ {
		if i == len(heard[m]) {
			select {
			case e := <-m.Events():
				heard[m] = append(heard[m], e)
			case <-ctx.Done():
				t.Fatalf("%s never heard that %s is %v, only %v", m.cfg.Node, node, want, heard[m])
			}
		}
		e := heard[m][i]
		if e == (cluster.MemberEvent{Node: node, Boot: boot, Health: want}) {
			heard[m] = slices.DeleteFunc(heard[m], func(e cluster.MemberEvent) bool { return e.Node == node })
			return before
		}
		if e.Node == node {
			before = append(before, e.Health)
		}
	}
}

func ended() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

func TestMembersHearOfDeath(t *testing.T) {
	all := trio(t, newRun(t))
	all[2].Close(ended())
	for _, m := range all[:2] {
		before := await(t, m, "node-2", "boot-node-2", cluster.Dead)
		if len(before) > 1 || len(before) == 1 && before[0] != cluster.Suspect {
			t.Errorf("%s heard %v before", m.cfg.Node, before)
		}
	}
}

func TestSilenceIsSuspect(t *testing.T) {
	r := newRun(t)
	patient := func(i int, seeds ...*Members) Config { // dead after 10 s and more
		cfg := config(t, r, i, seeds...)
		cfg.Timing.Probe = 2 * time.Second
		return cfg
	}
	a := join(t, patient(0))
	b := join(t, patient(1, a))
	await(t, a, "node-1", "boot-node-1", cluster.Alive)
	b.Close(ended())
	await(t, a, "node-1", "boot-node-1", cluster.Suspect)
}

func TestMembersHearOfDeparture(t *testing.T) {
	all := trio(t, newRun(t))
	if err := all[2].Close(soon(t)); err != nil {
		t.Error(err)
	}
	for _, m := range all[:2] {
		await(t, m, "node-2", "boot-node-2", cluster.Departed)
	}
	if _, ok := <-all[2].Events(); ok {
		t.Error("events after Close")
	}
}

func TestNodeThatComesBackIsAnother(t *testing.T) {
	r := newRun(t)
	all := trio(t, r)
	cfg := config(t, r, 2, all[0])
	cfg.Bind, cfg.Boot = all[2].Addr(), "second"
	all[2].Close(ended())
	join(t, cfg) // at the same address, perhaps before anyone missed it
	for _, m := range all[:2] {
		await(t, m, "node-2", "second", cluster.Alive)
	}
	if m, _ := all[0].roster.get("node-2"); m.meta.Boot != "second" {
		t.Errorf("still known as %s", m.meta.Boot)
	}
}

func TestMembersMeetAgain(t *testing.T) {
	all := trio(t, newRun(t))
	cfg := all[2].cfg
	cfg.Bind, cfg.Boot, cfg.Seeds = all[2].Addr(), "second", nil // it looks for nobody
	all[2].Close(ended())
	await(t, all[0], "node-2", "boot-node-2", cluster.Dead)
	join(t, cfg)
	await(t, all[0], "node-2", "second", cluster.Alive)
}

func TestStrangersAreRefused(t *testing.T) {
	r := newRun(t)
	a := join(t, config(t, r, 0))
	for _, c := range []struct {
		name   string
		change func(c *Config)
		want   error
	}{
		{"another build", func(c *Config) { c.Build = "v2" }, secure.ErrVersion},
		{"another run's keys", func(c *Config) {
			c.Credentials = config(t, newRun(t), 1).Credentials
		}, context.DeadlineExceeded},
		{"another run", func(c *Config) {
			oak, err := secure.NewRun("oak")
			if err != nil {
				t.Fatal(err)
			}
			*c = config(t, oak, 1, a)
		}, context.DeadlineExceeded},
		{"plain text", func(c *Config) { c.Credentials, c.Plain = nil, true }, context.DeadlineExceeded},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := config(t, r, 1, a)
			c.change(&cfg)
			short, cancel := context.WithTimeout(soon(t), 300*time.Millisecond)
			defer cancel()
			m, err := Join(short, cfg)
			if err == nil {
				m.Close(ended())
			}
			if !errors.Is(err, c.want) {
				t.Errorf("error %v, want %v", err, c.want)
			}
			if present := a.roster.present(); len(present) != 0 {
				t.Errorf("the member knows %v", present)
			}
		})
	}
}

func TestMembersFromOtherNetworksAreRefused(t *testing.T) {
	r := newRun(t)
	cfg := config(t, r, 0)
	cfg.Allowed = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/31")}
	a := join(t, cfg)
	short, cancel := context.WithTimeout(soon(t), 500*time.Millisecond)
	defer cancel()
	if m, err := Join(short, config(t, r, 2, a)); err == nil { // 127.0.0.3
		m.Close(ended())
	}
	if present := a.roster.present(); len(present) != 0 {
		t.Errorf("the member knows %v", present)
	}
}

func TestKeysAreRotated(t *testing.T) {
	r := newRun(t)
	all := trio(t, r)
	store := control.NewMemory()
	ctx, cancel := context.WithCancel(soon(t))
	defer cancel()
	done := make(chan error)
	for _, m := range all {
		go func() { done <- m.Follow(ctx, store.Handle()) }()
	}
	first := string(all[0].keys.GetPrimaryKey())
	for range 2 {
		if err := all[1].Rotate(soon(t), store.Handle()); err != nil {
			t.Fatal(err)
		}
	}
	primary := string(all[0].keys.GetPrimaryKey())
	for _, m := range all {
		if keys := m.keys.GetKeys(); len(keys) != 1 || string(keys[0]) != primary || primary == first {
			t.Errorf("%s has %d keys; new: %v", m.cfg.Node, len(keys), primary != first)
		}
	}
	late := config(t, r, 3, all[0])
	late.Store = store
	d := join(t, late)
	await(t, d, "node-1", "boot-node-1", cluster.Alive)
	cancel()
	for range all {
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
}

func TestRotationWaitsForAll(t *testing.T) {
	all := trio(t, newRun(t))
	store := control.NewMemory()
	go all[0].Follow(soon(t), store) // node-2 does not
	short, cancel := context.WithTimeout(soon(t), 300*time.Millisecond)
	defer cancel()
	if err := all[1].Rotate(short, store); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("rotated without node-2: %v", err)
	}
	for _, m := range all {
		if string(m.keys.GetPrimaryKey()) != string(all[2].keys.GetPrimaryKey()) {
			t.Errorf("%s sends with a key that node-2 does not have", m.cfg.Node)
		}
	}
}

func TestConfigurationsThatAreRefused(t *testing.T) {
	r := newRun(t)
	for name, change := range map[string]func(c *Config){
		"no credentials":      func(c *Config) { c.Credentials = nil },
		"both":                func(c *Config) { c.Plain = true },
		"plain beyond":        func(c *Config) { c.Credentials, c.Plain, c.Bind = nil, true, "0.0.0.0:0" },
		"another's":           func(c *Config) { c.Node = "node-7" },
		"no name":             func(c *Config) { c.Node = "" },
		"no port":             func(c *Config) { c.Bind = "127.0.0.1" },
		"long build":          func(c *Config) { c.Build = fmt.Sprintf("%201d", 1) },
		"answer beyond probe": func(c *Config) { c.Timing.Answer = time.Second },
	} {
		t.Run(name, func(t *testing.T) {
			cfg := config(t, r, 0)
			change(&cfg)
			if m, err := Join(soon(t), cfg); err == nil {
				m.Close(ended())
				t.Error("no error")
			}
		})
	}
}
