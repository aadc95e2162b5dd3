package secure

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"encoding/json"
	"errors"
	"net"
	"testing"
	"time"
)

func FuzzToken(f *testing.F) {
	r, err := NewRun("fig")
	if err != nil {
		f.Fatal(err)
	}
	token, err := r.Token(Agent, time.Hour)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(token.Reveal())
	f.Add(tokenPrefix)
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		token, err := ParseToken(text)
		if err != nil {
			if !errors.Is(err, ErrToken) {
				t.Errorf("error %v, want one of a token", err)
			}
			return
		}
		back, err := ParseToken(token.Reveal())
		if err != nil || back.Reveal() != token.Reveal() {
			t.Errorf("does not survive a round: %v", err)
		}
	})
}

// What a gate makes of any request, without a certificate and without a
// token of the run: a named refusal.
func FuzzRequest(f *testing.F) {
	r, err := NewRun("fig")
	if err != nil {
		f.Fatal(err)
	}
	c, err := r.Issue(Control, "node-0")
	if err != nil {
		f.Fatal(err)
	}
	g, err := NewGate(GateConfig{Credentials: c, Build: "v1"})
	if err != nil {
		f.Fatal(err)
	}
	_, csr, err := newKey()
	if err != nil {
		f.Fatal(err)
	}
	for _, token := range []*claim{nil, {ID: make([]byte, 16), Role: Agent}} {
		b, err := json.Marshal(request{Protocol: Protocol, Build: "v1", Run: "fig", Node: "n", CSR: csr, Token: token})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte("{"))
	a, b := net.Pipe()
	guest, host := tls.Client(a, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{protocolName}}), tls.Server(b, g.tls())
	go guest.Handshake()
	if err := host.Handshake(); err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { a.Close(); b.Close() })
	state := host.ConnectionState()
	f.Fuzz(func(t *testing.T, b []byte) {
		_, err := g.answer(context.Background(), b, state)
		if err == nil {
			t.Fatal("let in")
		}
		if code := codeOf(err); code == "not-ready" {
			t.Errorf("unnamed refusal: %v", err)
		}
	})
}

func FuzzAnswer(f *testing.F) {
	f.Add([]byte(`{"refusal":"replayed"}`))
	f.Add([]byte(`{"papers":{"authority":"AA=="}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if a, err := parseAnswer(b); err == nil {
			if c, err := newCredentials(a.Papers); err == nil {
				t.Errorf("papers out of nothing: %v", c.Identity)
			}
		}
	})
}

func FuzzReceive(f *testing.F) {
	f.Add([]byte{0, 0, 0, 2, 'a', 'b'})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := receive(bytes.NewReader(b), 16)
		if err == nil && (len(got) > 16 || uint32(len(got)) != binary.BigEndian.Uint32(b)) {
			t.Errorf("received %d bytes", len(got))
		}
	})
}
