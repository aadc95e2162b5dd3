package tcp_test

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/espalier-ml/espalier/collective"
	"github.com/espalier-ml/espalier/collective/tcp"
)

// open connects all ranks of a group in this process, on loopback. adjust
// changes the options of a rank, nil changes nothing.
func open(world int, o tcp.Options, adjust func(rank int, o *tcp.Options)) ([]collective.Comm, error) {
	peers, listeners, err := addresses(world)
	if err != nil {
		return nil, err
	}
	comms, errs := make([]collective.Comm, world), make([]error, world)
	var wg sync.WaitGroup
	for r := range world {
		own := o
		own.Listener = listeners[r]
		if adjust != nil {
			adjust(r, &own)
		}
		own.Plain = own.TLS == nil
		wg.Go(func() {
			c, err := tcp.Open(context.Background(), collective.Gen{N: 3}, collective.Rank(r), peers, own)
			if errs[r] = err; err == nil {
				comms[r] = c
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		for _, c := range comms {
			if c != nil {
				c.Close(context.Background())
			}
		}
		return nil, err
	}
	return comms, nil
}

func addresses(world int) (peers []tcp.Peer, listeners []net.Listener, err error) {
	for r := range world {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, nil, err
		}
		listeners = append(listeners, ln)
		peers = append(peers, tcp.Peer{Rank: collective.Rank(r), Addr: ln.Addr().String()})
	}
	return peers, listeners, nil
}

// each runs f for all ranks at once.
func each(comms []collective.Comm, f func(c collective.Comm)) {
	var wg sync.WaitGroup
	for _, c := range comms {
		wg.Go(func() { f(c) })
	}
	wg.Wait()
}

// group opens one that is closed after the test.
func group(t *testing.T, world int, o tcp.Options, adjust func(rank int, o *tcp.Options)) []collective.Comm {
	t.Helper()
	comms, err := open(world, o, adjust)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { each(comms, func(c collective.Comm) { c.Close(context.Background()) }) })
	return comms
}

// wait is far longer than anything takes, and ends a hang.
func wait(w collective.Work) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return w.Wait(ctx)
}
