package control_test

import (
	"io"
	"net"
	"sync"
	"testing"
)

// relay passes connections on to a server until it is cut.
type relay struct {
	listener net.Listener
	to       string

	mu    sync.Mutex
	down  bool
	conns []net.Conn
}

func newRelay(t *testing.T, to string) *relay {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{listener: l, to: to}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { r.pass(c) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		r.cut(true)
		all.Wait()
	})
	return r
}

func (r *relay) addr() string { return r.listener.Addr().String() }

// cut ends all connections, and takes no more until cut(false).
func (r *relay) cut(down bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.down = down
	for _, c := range r.conns {
		c.Close()
	}
	r.conns = nil
}

func (r *relay) pass(c net.Conn) {
	defer c.Close()
	d, err := net.Dial("tcp", r.to)
	if err != nil {
		return
	}
	defer d.Close()
	r.mu.Lock()
	if r.down {
		r.mu.Unlock()
		return
	}
	r.conns = append(r.conns, c, d)
	r.mu.Unlock()
	var both sync.WaitGroup
	both.Go(func() { io.Copy(c, d); c.Close(); d.Close() })
	both.Go(func() { io.Copy(d, c); c.Close(); d.Close() })
	both.Wait()
}
