package agent

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"

	"github.com/espalier-ml/espalier/cluster/secure"
	"github.com/espalier-ml/espalier/collective"
	"github.com/espalier-ml/espalier/collective/hier"
	"github.com/espalier-ml/espalier/collective/record"
	"github.com/espalier-ml/espalier/collective/shm"
	"github.com/espalier-ml/espalier/collective/solo"
	"github.com/espalier-ml/espalier/collective/tcp"
)

// open makes the communicator of a seat. It takes the group's file over.
func (w *Worker) open(ctx context.Context, n uint64, s *seat, group *os.File, rec *record.Recorder) (collective.Comm, error) {
	if err := s.check(group != nil); err != nil {
		if group != nil {
			group.Close()
		}
		return nil, err
	}
	gen, observe := s.gen(n), w.observe(rec)
	switch s.Transport {
	case bySolo:
		return solo.New(gen), nil
	case byShm:
		return shm.Join(group, collective.Rank(s.Rank), w.shmOptions(s, observe))
	case byTCP:
		ranks := make([]int, len(s.Peers))
		for r := range ranks {
			ranks[r] = r
		}
		return w.connect(ctx, gen, s, s.Rank, ranks, observe)
	}
	local, err := shm.Join(group, collective.Rank(s.Local), w.shmOptions(s, observe))
	if err != nil {
		return nil, err
	}
	var ranks []int // those of the same place on each node
	for host := range len(s.Peers) / s.Locals {
		ranks = append(ranks, host*s.Locals+s.Local)
	}
	across, err := w.connect(ctx, gen, s, s.Rank/s.Locals, ranks, observe)
	if err != nil {
		local.Close(ctx)
		return nil, err
	}
	return hier.New(ctx, local, across, hier.Options{Observe: observe})
}

// observe is called after each operation.
func (w *Worker) observe(rec *record.Recorder) func(collective.Event) {
	if w.o.Observe == nil {
		return rec.Observe
	}
	return func(e collective.Event) {
		rec.Observe(e)
		w.o.Observe(e)
	}
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

func (w *Worker) shmOptions(s *seat, observe func(collective.Event)) shm.Options {
	o := shm.Options{Spin: s.Spin, Timeout: w.o.Timeout}
	if s.Transport == byShm {
		o.Observe = observe
	}
	return o
}

// connect joins the group of some of the ranks, of which this one is number
// self.
func (w *Worker) connect(ctx context.Context, gen collective.Gen, s *seat, self int, ranks []int, observe func(collective.Event)) (collective.Comm, error) {
	if w.port == nil || len(s.Owners) != len(s.Peers) {
		return nil, errors.New("this worker takes no connections, but its generation has several nodes")
	}
	o := tcp.Options{Plain: len(s.Papers) == 0, Port: w.port, Timeout: w.o.Timeout, Log: w.o.Log}
	if s.Transport == byTCP {
		o.Observe = observe
	}
	if !o.Plain {
		papers, err := secure.ParseCredentials(s.Papers)
		if err != nil {
			return nil, fmt.Errorf("papers: %w", err)
		}
		o.TLS = papers.TLS(secure.Control, secure.Agent)
		o.Verify = func(r collective.Rank, state tls.ConnectionState) error {
			return papers.VerifyNode(state, s.Owners[ranks[r]])
		}
	}
	var peers []tcp.Peer
	for i, r := range ranks {
		peers = append(peers, tcp.Peer{Rank: collective.Rank(i), Addr: s.Peers[r]})
	}
	return tcp.Open(ctx, gen, collective.Rank(self), peers, o)
}
