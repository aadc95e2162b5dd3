package secure_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/espalier-ml/espalier/cluster"
	"github.com/espalier-ml/espalier/cluster/control"
	. "github.com/espalier-ml/espalier/cluster/secure"
)

func TestJoinGivesEachRoleItsPapers(t *testing.T) {
	for _, c := range []struct {
		role                Role
		nkey, gossip, gates bool
	}{
		{Control, true, true, true},
		{Agent, true, true, false},
		{Observer, true, false, false},
		{Operator, true, false, false},
	} {
		t.Run(c.role.String(), func(t *testing.T) {
			r := testRun(t, "fig")
			_, addr := gate(t, r, control.NewMemory())
			token, err := ParseToken(mint(t, r, c.role).Reveal())
			if err != nil {
				t.Fatal(err)
			}
			j, err := Join(soon(t), token, Facts{Addrs: []string{addr}, Node: "node-1", Build: build})
			if err != nil {
				t.Fatal(err)
			}
			if want := (Identity{"fig", c.role, "node-1"}); j.Identity != want {
				t.Errorf("papers of %v, want %v", j.Identity, want)
			}
			if j.Control[0] != "c:1" || j.Gossip[0] != "g:2" {
				t.Errorf("contacts %v and %v", j.Control, j.Gossip)
			}
			public, _, err := j.NKey()
			if want, _ := r.UserKey(c.role); err != nil || public != want {
				t.Errorf("key for NATS %s, %v, want %s", public, err, want)
			}
			if k, err := j.Keyring(); (err == nil) != c.gossip || c.gossip && !k.Equal(r.FirstKeyring()) {
				t.Errorf("gossip keys: %v", err)
			}
			if (j.Run() != nil) != c.gates {
				t.Errorf("has the authority: %v, want %v", j.Run() != nil, c.gates)
			}
			back, err := ParseCredentials(j.Marshal().Reveal())
			if err != nil || back.Identity != j.Identity || !back.Expires().Equal(j.Expires()) {
				t.Errorf("marshalled and parsed: %v", err)
			}
		})
	}
}

func TestJoinRefusals(t *testing.T) {
	r, other := testRun(t, "fig"), testRun(t, "fig")
	ok := Facts{Node: "node-1", Build: build}
	for _, c := range []struct {
		name  string
		token func() Token
		facts Facts
		clock time.Duration // of the gate
		want  error
	}{
		{"token of another run", func() Token { return mint(t, other, Agent) }, ok, 0, ErrForeignRun},
		{"secret of another run", func() Token {
			token := mint(t, other, Agent)
			token.SetAuthority(r)
			return token
		}, ok, 0, ErrProof},
		{"other run in name", func() Token {
			token := mint(t, r, Agent)
			token.Run = "oak"
			return token
		}, ok, 0, ErrForeignRun},
		{"role raised", func() Token {
			token := mint(t, r, Observer)
			token.Role = Control
			return token
		}, ok, 0, ErrProof},
		{"life prolonged", func() Token {
			token := mint(t, r, Agent)
			token.Expires = token.Expires.Add(time.Hour)
			return token
		}, ok, 0, ErrProof},
		{"expired", func() Token { return mint(t, r, Agent) }, ok, 2 * time.Hour, ErrExpired},
		{"other build", func() Token { return mint(t, r, Agent) }, Facts{Node: "node-1", Build: "v2"}, 0, ErrVersion},
		{"strange name", func() Token { return mint(t, r, Agent) }, Facts{Node: "a/control/b", Build: build}, 0, ErrRequest},
		{"no name", func() Token { return mint(t, r, Agent) }, Facts{Build: build}, 0, ErrRequest},
		{"long name", func() Token { return mint(t, r, Agent) }, Facts{Node: cluster.NodeID(strings.Repeat("n", 64)), Build: build}, 0, ErrRequest},
	} {
		t.Run(c.name, func(t *testing.T) {
			store := control.NewMemory()
			g, _ := gate(t, r, store)
			g.SetClock(func() time.Time { return time.Now().Add(c.clock) })
			addr := serve(t, g)
			c.facts.Addrs = []string{addr}
			token := c.token()
			if _, err := Join(soon(t), token, c.facts); !errors.Is(err, c.want) {
				t.Errorf("error %v, want %v", err, c.want)
			}
			_, err := store.Get(t.Context(), token.StoreKey())
			if !errors.Is(err, cluster.ErrNotFound) {
				t.Errorf("the store knows a refused token: %v", err)
			}
		})
	}
}

func TestTokenWorksOnce(t *testing.T) {
	r := testRun(t, "fig")
	store := control.NewMemory()
	_, one := gate(t, r, store)
	_, two := gate(t, r, store.Handle())
	token := mint(t, r, Agent)
	if _, err := Join(soon(t), token, Facts{Addrs: []string{one}, Node: "node-1", Build: build}); err != nil {
		t.Fatal(err)
	}
	for _, addr := range []string{one, two} {
		_, err := Join(soon(t), token, Facts{Addrs: []string{addr}, Node: "node-1", Build: build})
		if !errors.Is(err, ErrReplayed) {
			t.Errorf("replay: %v", err)
		}
	}
}

func TestJoinIsTriedAgainWithTheSameToken(t *testing.T) {
	r := testRun(t, "fig")
	store := control.NewMemory()
	_, addr := gate(t, r, store)
	lost := 2 // answers, after the token was written down
	store.Inject(control.Faults{After: func(op control.Op, key string) error {
		if lost > 0 && op == control.OpCreate {
			lost--
			return errors.New("answer lost")
		}
		return nil
	}})
	if _, err := Join(soon(t), mint(t, r, Agent), Facts{Addrs: []string{"127.0.0.1:1", addr}, Node: "node-1", Build: build}); err != nil {
		t.Error(err)
	}
	if lost == 2 {
		t.Error("no answer was lost")
	}
}

func TestBeforeTheStoreOnlyControlNodesJoin(t *testing.T) {
	r := testRun(t, "fig")
	old := mint(t, r, Control)
	old.Issued = old.Issued.Add(-time.Second)
	old.Resign(r)
	g, addr := gate(t, r, nil)
	facts := Facts{Addrs: []string{addr}, Node: "node-1", Build: build}

	if _, err := Join(soon(t), old, facts); !errors.Is(err, ErrReplayed) {
		t.Errorf("token older than the gate: %v", err)
	}
	agent := mint(t, r, Agent)
	short, cancel := context.WithTimeout(soon(t), 50*time.Millisecond)
	defer cancel()
	if _, err := Join(short, agent, facts); !errors.Is(err, ErrNotReady) && !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("agent: %v", err)
	}
	token := mint(t, r, Control)
	if _, err := Join(soon(t), token, facts); err != nil {
		t.Fatal(err)
	}
	if err := g.Adopt(t.Context(), control.NewMemory()); err != nil {
		t.Fatal(err)
	}
	if _, err := Join(soon(t), token, facts); !errors.Is(err, ErrReplayed) {
		t.Errorf("replay across the coming of the store: %v", err)
	}
	if _, err := Join(soon(t), agent, facts); err != nil {
		t.Errorf("agent, once there is a store: %v", err)
	}
}

func TestOnlyControlNodesOpenGates(t *testing.T) {
	r := testRun(t, "fig")
	if _, err := NewGate(GateConfig{Credentials: issue(t, r, Agent, "node-1")}); !errors.Is(err, ErrRole) {
		t.Errorf("gate of an agent: %v", err)
	}
	// An agent of the run that claims to be a gate.
	g, _ := gate(t, r, control.NewMemory())
	g.Credentials = issue(t, r, Agent, "node-1")
	addr := serve(t, g)
	short, cancel := context.WithTimeout(soon(t), 3*time.Second) // tried again until then
	defer cancel()
	_, err := Join(short, mint(t, r, Agent), Facts{Addrs: []string{addr}, Node: "node-2", Build: build})
	if !errors.Is(err, ErrRole) {
		t.Errorf("joined at an agent: %v", err)
	}
}

func TestRenewal(t *testing.T) {
	r := testRun(t, "fig")
	g, _ := gate(t, r, control.NewMemory())
	later := time.Now().Add(Lifetime / 2)
	g.SetClock(func() time.Time { return later })
	facts := Facts{Addrs: []string{serve(t, g)}, Build: build}
	for _, role := range Roles {
		t.Run(role.String(), func(t *testing.T) {
			c := issue(t, r, role, "node-1")
			config, before := c.TLS(Control), c.Expires()
			if err := c.Renew(soon(t), facts); err != nil {
				t.Fatal(err)
			}
			if role != Control && !c.Expires().After(before.Add(Lifetime/3)) {
				t.Errorf("expires %v, before %v", c.Expires(), before)
			}
			cert, err := config.GetCertificate(nil)
			if err != nil || !cert.Leaf.NotAfter.Equal(c.Expires()) {
				t.Error("a configuration made before has the old certificate")
			}
		})
	}
	t.Run("nobody", func(t *testing.T) {
		c := issue(t, testRun(t, "fig"), Agent, "node-1")
		short, cancel := context.WithTimeout(soon(t), 3*time.Second) // tried again until then
		defer cancel()
		if err := c.Renew(short, facts); !errors.Is(err, ErrForeignRun) {
			t.Errorf("another run's certificate renewed: %v", err)
		}
	})
}

func TestGateEndsWithItsContext(t *testing.T) {
	r := testRun(t, "fig")
	g, err := NewGate(GateConfig{Credentials: issue(t, r, Control, "node-0"), Build: build})
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- g.Serve(ctx, l) }()
	silent, err := net.Dial("tcp", l.Addr().String()) // says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if _, err := net.Dial("tcp", l.Addr().String()); err == nil {
		t.Error("the port is still open")
	}
}

// TestMuster: who lets a control node in learns where it will be, and answers
// when the set is complete; posts that are none are refused.
func TestMuster(t *testing.T) {
	r := testRun(t, "fig")
	g, err := NewGate(GateConfig{Credentials: issue(t, r, Control, "node-0"), Build: build})
	if err != nil {
		t.Fatal(err)
	}
	first := Post{Node: "node-0", Gate: "h:1", Clients: "h:2", Routes: "h:3"}
	second := Post{Node: "node-1", Gate: "g:1", Clients: "g:2", Routes: "g:3"}
	asked := 0
	g.Muster = func(who Identity, at *Post) ([]Post, error) {
		if asked++; asked == 1 {
			return nil, ErrNotReady
		}
		if at == nil || *at != second || who.Node != "node-1" {
			t.Errorf("%v at %v", who, at)
		}
		return []Post{first, second}, nil
	}
	facts := Facts{Addrs: []string{serve(t, g)}, Node: "node-1", Build: build, Post: &second}
	j, err := Join(soon(t), mint(t, r, Control), facts)
	if err != nil || asked != 2 || len(j.Set) != 2 || j.Set[0] != first || j.Set[1] != second {
		t.Errorf("%v, asked %d times: %v", j, asked, err)
	}
	for name, p := range map[string]Post{
		"of another": {Node: "node-2", Gate: "g:1", Clients: "g:2", Routes: "g:3"},
		"nowhere":    {Node: "node-1", Gate: "g:1", Clients: "g", Routes: "g:3"},
		"too long":   {Node: "node-1", Gate: strings.Repeat("g", 400) + ":1", Clients: "g:2", Routes: "g:3"},
	} {
		facts.Post = &p
		if _, err := Join(soon(t), mint(t, r, Control), facts); !errors.Is(err, ErrRequest) && !errors.Is(err, ErrNode) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestJoinHasPatience(t *testing.T) {
	r := testRun(t, "fig")
	_, err := Join(soon(t), mint(t, r, Agent), Facts{Addrs: []string{"127.0.0.1:1"}, Node: "node-1", Build: build, Patience: time.Millisecond})
	if err == nil || !strings.Contains(err.Error(), "no gate answers for 1ms") {
		t.Error(err)
	}
}
