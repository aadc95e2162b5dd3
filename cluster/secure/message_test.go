package secure

import (
	"testing"
	"time"
)

func TestProofIsBoundToItsConnection(t *testing.T) {
	r, err := NewRun("fig")
	if err != nil {
		t.Fatal(err)
	}
	token, err := r.Token(Agent, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	q := request{Protocol: Protocol, Build: "v1", Run: "fig", Node: "node-1", CSR: []byte("csr")}
	base := string(q.proof(token.secret.b, []byte("channel")))
	for name, change := range map[string]func(q *request) []byte{
		"channel": func(q *request) []byte { return []byte("other") },
		"node":    func(q *request) []byte { q.Node = "node-2"; return []byte("channel") },
		"key":     func(q *request) []byte { q.CSR = []byte("other"); return []byte("channel") },
		"shift":   func(q *request) []byte { q.Run, q.Node = "fign", "ode-1"; return []byte("channel") },
	} {
		q := q
		if channel := change(&q); string(q.proof(token.secret.b, channel)) == base {
			t.Errorf("proof does not depend on %s", name)
		}
	}
}
