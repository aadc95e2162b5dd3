package agent

import (
	"context"
	"sync"

	"github.com/espalier-ml/espalier/cluster"
)

// lone is the session of a node that has the run for itself: every change is
// ordered at once.
type lone struct {
	mu       sync.Mutex
	orders   chan cluster.Order
	workers  []string
	g        cluster.Generation
	state    string // "", forming, running, draining
	said     []string
	leave    bool
	finished bool
}

func newLone() *lone { return &lone{orders: make(chan cluster.Order, 100)} }

func (s *lone) Orders() <-chan cluster.Order { return s.orders }

func (s *lone) Announce(workers []string, step uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.workers = workers
	switch s.state {
	case "":
		s.form()
	case "running":
		s.drain()
	}
}

func (s *lone) drain() {
	s.state = "draining"
	s.orders <- cluster.Order{Kind: cluster.Drain, N: s.g.N}
}

func (s *lone) form() {
	s.state = ""
	if len(s.workers) == 0 || s.finished {
		return
	}
	s.state = "forming"
	s.g = cluster.Generation{N: s.g.N + 1, Nodes: []cluster.Node{{ID: "a", Workers: s.workers}}}
	g := s.g
	s.orders <- cluster.Order{Kind: cluster.Form, N: g.N, Generation: &g}
}

func (s *lone) Opened(n uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n != s.g.N || s.state != "forming" {
		return
	}
	s.state = "running"
	if len(s.workers) != s.g.World() {
		s.drain()
	}
}

func (s *lone) Drained(n uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n == s.g.N {
		s.form()
	}
}

func (s *lone) Broke(n uint64, f cluster.Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.said = append(s.said, f.Why)
	if n == s.g.N {
		s.form()
	}
}

func (s *lone) Leave() {}

func (s *lone) Finish() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.finished = true
	s.orders <- cluster.Order{Kind: cluster.Finished}
	close(s.orders)
}

func (s *lone) View() cluster.View { return cluster.View{} }

func (s *lone) Close(context.Context) error { return nil }
