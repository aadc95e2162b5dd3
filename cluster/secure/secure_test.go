package secure_test

import (
	"context"
	"crypto/tls"
	"net"
	"testing"
	"time"

	"github.com/espalier-ml/espalier/cluster"
	. "github.com/espalier-ml/espalier/cluster/secure"
)

const build = "v1"

func testRun(t *testing.T, id string) *Run {
	t.Helper()
	r, err := NewRun(id)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func issue(t *testing.T, r *Run, role Role, node cluster.NodeID) *Credentials {
	t.Helper()
	c, err := r.Issue(role, node)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func mint(t *testing.T, r *Run, role Role) Token {
	t.Helper()
	token, err := r.Token(role, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// gate is one that listens, with a store that has begun.
func gate(t *testing.T, r *Run, store cluster.Store) (*Gate, string) {
	t.Helper()
	g, err := NewGate(GateConfig{
		Credentials: issue(t, r, Control, "node-0"),
		Build:       build,
		Contact:     func() (c, g []string) { return []string{"c:1"}, []string{"g:2"} },
	})
	if err != nil {
		t.Fatal(err)
	}
	if store != nil {
		if err := g.Adopt(t.Context(), store); err != nil {
			t.Fatal(err)
		}
	}
	return g, serve(t, g)
}

func serve(t *testing.T, g *Gate) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- g.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// shake makes a connection between two configurations and returns what either
// side says.
func shake(t *testing.T, client, server *tls.Config) (clientErr, serverErr error) {
	t.Helper()
	a, b := net.Pipe()
	deadline := time.Now().Add(20 * time.Second)
	a.SetDeadline(deadline)
	b.SetDeadline(deadline)
	done := make(chan error, 1)
	go func() {
		s := tls.Server(b, server)
		err := s.Handshake()
		if err == nil {
			_, err = s.Write([]byte{1})
		}
		b.Close()
		done <- err
	}()
	c := tls.Client(a, client)
	clientErr = c.Handshake()
	if clientErr == nil { // TLS 1.3: the client learns of its refusal with the first data
		_, clientErr = c.Read(make([]byte, 1))
	}
	a.Close()
	return clientErr, <-done
}
