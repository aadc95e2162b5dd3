package agent

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/espalier-ml/espalier/collective"
	"github.com/espalier-ml/espalier/collective/hier"
	"github.com/espalier-ml/espalier/collective/shm"
	"github.com/espalier-ml/espalier/collective/solo"
	"github.com/espalier-ml/espalier/collective/tcp"
)

// open makes the communicator of a seat. It takes the group's file over.
func (w *Worker) open(ctx context.Context, n uint64, s *seat, group *os.File) (collective.Comm, error) {
	if err := s.check(group != nil); err != nil {
		if group != nil {
			group.Close()
		}
		return nil, err
	}
	gen := s.gen(n)
	switch s.Transport {
	case bySolo:
		return solo.New(gen), nil
	case byShm:
		return shm.Join(group, collective.Rank(s.Rank), w.shmOptions(s))
	case byTCP:
		return w.connect(ctx, gen, s.Rank, s.Peers)
	}
	local, err := shm.Join(group, collective.Rank(s.Local), w.shmOptions(s))
	if err != nil {
		return nil, err
	}
	var peers []string
	for host := range len(s.Peers) / s.Locals {
		peers = append(peers, s.Peers[host*s.Locals+s.Local])
	}
	across, err := w.connect(ctx, gen, s.Rank/s.Locals, peers)
	if err != nil {
		local.Close(ctx)
		return nil, err
	}
	return hier.New(ctx, local, across, hier.Options{Observe: w.o.Observe})
}

// check says what is wrong with a seat.
func (s *seat) check(group bool) error {
	world := len(s.Peers)
	switch {
	case s.Rank < 0 || s.Rank >= world || s.Locals < 1 || s.Local < 0 || s.Local >= s.Locals:
		return fmt.Errorf("seat with rank %d of %d, %d of %d on the node", s.Rank, world, s.Local, s.Locals)
	case s.Transport == bySolo && world == 1, s.Transport == byTCP:
		return nil
	case s.Transport == byShm && s.Locals == world && group, s.Transport == byHier && world%s.Locals == 0 && group:
		return nil
	}
	return fmt.Errorf("seat of transport %q for %d ranks, %d on the node", s.Transport, world, s.Locals)
}

func (w *Worker) shmOptions(s *seat) shm.Options {
	o := shm.Options{Spin: s.Spin, Timeout: w.o.Timeout}
	if s.Transport == byShm {
		o.Observe = w.o.Observe
	}
	return o
}

// connect joins a group of ranks at addresses.
func (w *Worker) connect(ctx context.Context, gen collective.Gen, self int, addrs []string) (collective.Comm, error) {
	var peers []tcp.Peer
	for r, a := range addrs {
		peers = append(peers, tcp.Peer{Rank: collective.Rank(r), Addr: a})
	}
	if w.port == nil {
		return nil, errors.New("this worker takes no connections, but its generation has several nodes")
	}
	o := tcp.Options{TLS: w.o.TLS, Plain: w.o.TLS == nil, Port: w.port, Timeout: w.o.Timeout, Observe: w.o.Observe, Log: w.o.Log}
	return tcp.Open(ctx, gen, collective.Rank(self), peers, o)
}
