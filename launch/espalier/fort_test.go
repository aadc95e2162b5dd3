package main

import (
	"errors"
	"testing"

	"github.com/espalier-ml/espalier/cluster"
	"github.com/espalier-ml/espalier/cluster/secure"
)

// TestMuster: a control set comes together once, whoever asks how often.
func TestMuster(t *testing.T) {
	post := func(id cluster.NodeID) *secure.Post {
		return &secure.Post{Node: id, Gate: "h:1", Clients: "h:2", Routes: "h:3"}
	}
	m := newMuster(3, *post("a"))
	for _, c := range []struct {
		name string
		role secure.Role
		at   *secure.Post
		want error
	}{
		{"an agent that is early", secure.Agent, nil, secure.ErrNotReady},
		{"the second", secure.Control, post("b"), secure.ErrNotReady},
		{"the second again", secure.Control, post("b"), secure.ErrNotReady},
		{"one that is nowhere", secure.Control, nil, secure.ErrRequest},
		{"the third", secure.Control, post("c"), nil},
		{"the second at last", secure.Control, post("b"), nil},
		{"one too many", secure.Control, post("d"), secure.ErrRole},
		{"an agent", secure.Agent, nil, nil},
	} {
		set, err := m.enter(secure.Identity{Run: "r", Role: c.role, Node: "n"}, c.at)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
		if err == nil && (len(set) != 3 || set[0] != *post("a") || set[1] != *post("b") || set[2] != *post("c")) {
			t.Errorf("%s: set %v", c.name, set)
		}
	}
	select {
	case <-m.complete:
	default:
		t.Error("the set is complete and nobody was told")
	}
}
