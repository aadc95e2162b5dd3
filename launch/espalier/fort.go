package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"

	"github.com/espalier-ml/espalier/cluster/control"
	"github.com/espalier-ml/espalier/cluster/secure"
)

// fort is the places at which a control node takes connections. Those of the
// server are held until it starts.
type fort struct {
	secure.Post
	gate            net.Listener
	clients, routes net.Listener
}

func (s *site) fortify(p *party) (*fort, error) {
	f := &fort{Post: secure.Post{Node: s.node}}
	for _, x := range []struct {
		l    *net.Listener
		addr *string
		at   string
	}{
		{&f.gate, &f.Gate, p.listen},
		{&f.clients, &f.Clients, net.JoinHostPort(s.host, "0")},
		{&f.routes, &f.Routes, net.JoinHostPort(s.host, "0")},
	} {
		l, err := net.Listen("tcp", x.at)
		if err != nil {
			f.release()
			return nil, fmt.Errorf("--listen: %w", err)
		}
		*x.l, *x.addr = l, l.Addr().String()
	}
	p.listen = f.Gate
	return f, nil
}

// release gives up what is still held.
func (f *fort) release() {
	for _, l := range []*net.Listener{&f.gate, &f.clients, &f.routes} {
		if *l != nil {
			(*l).Close()
			*l = nil
		}
	}
}

// open lets other nodes in, until the site is closed. Before there is a store
// only the first node does so: who was let in where is known nowhere else.
func (s *site) open(ctx context.Context, f *fort, m *muster) (gate *secure.Gate, err error) {
	gate, err = secure.NewGate(secure.GateConfig{Credentials: s.credentials, Build: buildVersion(), Log: s.log, Muster: m.enter,
		Contact: func() (ctl, gos []string) { return m.clients(), []string{s.members.Addr()} }})
	if err != nil {
		return nil, err
	}
	l := f.gate
	f.gate = nil // the gate closes it
	if s.store != nil {
		if err := s.adopt(ctx, gate); err != nil {
			return nil, err
		}
		if l, err = net.Listen("tcp", f.Gate); err != nil {
			return nil, fmt.Errorf("--listen: %w", err)
		}
	}
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	served := make(chan struct{})
	go func() { defer close(served); gate.Serve(serving, l) }()
	s.later(func() { stop(); <-served })
	return gate, nil
}

// admit writes tokens for all others that may come, first those for control
// nodes, and says how to use them.
func (s *site) admit(p *party, authority *secure.Run) error {
	var files []string
	for i := range p.max - 1 {
		role := secure.Agent
		if i+1 < p.control {
			role = secure.Control
		}
		token, err := authority.Token(role, tokenLife)
		if err != nil {
			return err
		}
		path := filepath.Join(s.dir, "token-"+strconv.Itoa(i+1))
		if err := os.WriteFile(path, []byte(token.Reveal()+"\n"), 0o600); err != nil {
			return err
		}
		files = append(files, path)
	}
	s.invite(p, files)
	return nil
}

// rule starts this node's server of a control set that is complete.
func (s *site) rule(ctx context.Context, p *party, f *fort, set []secure.Post) error {
	sc := control.ServerConfig{Listen: f.Clients}
	if len(set) > 1 {
		sc.Routes = f.Routes
		for _, post := range set {
			sc.Peers = append(sc.Peers, post.Routes)
		}
	}
	f.release()
	if err := s.serve(sc); err != nil {
		return err
	}
	return s.connect(ctx, p, nil)
}

// adopt gives the gate the store, with which it lets anyone in.
func (s *site) adopt(ctx context.Context, gate *secure.Gate) error {
	if err := gate.Adopt(ctx, s.store); err != nil {
		return withCode(exitRetry, fmt.Errorf("store of the run: %w", err))
	}
	return nil
}

// muster is a control set that comes together, once and for all.
type muster struct {
	size     int
	complete chan struct{} // closed when set is

	mu  sync.Mutex
	set []secure.Post
}

func newMuster(size int, here ...secure.Post) *muster {
	m := &muster{size: size, complete: make(chan struct{}), set: here}
	if len(here) == size {
		close(m.complete)
	}
	return m
}

// errControlSet: a control node came when there was no place for it.
var errControlSet = errors.New("the control set is complete")

// enter notes a control node, and returns the set to whoever comes when it is
// complete.
func (m *muster) enter(who secure.Identity, at *secure.Post) ([]secure.Post, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	known := slices.ContainsFunc(m.set, func(p secure.Post) bool { return at != nil && p == *at })
	switch {
	case at == nil && who.Role == secure.Control:
		return nil, fmt.Errorf("%w: a control node that does not say where it is", secure.ErrRequest)
	case at != nil && !known && len(m.set) == m.size:
		return nil, fmt.Errorf("%v: %w: %w", who, secure.ErrRole, errControlSet)
	case at != nil && !known:
		m.set = append(m.set, *at)
		if len(m.set) == m.size {
			close(m.complete)
		}
	}
	if len(m.set) < m.size {
		return nil, fmt.Errorf("%w: %d of %d control nodes are there", secure.ErrNotReady, len(m.set), m.size)
	}
	return slices.Clone(m.set), nil
}

// clients are where the servers are.
func (m *muster) clients() (all []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range m.set {
		all = append(all, p.Clients)
	}
	return all
}
