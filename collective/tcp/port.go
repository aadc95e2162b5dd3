package tcp

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"go.uber.org/zap"
)

// Port is where a process listens, for one group after another. It answers
// connections at any time, as a member of the group that was opened last:
// those of an earlier generation, or of one that is complete, are refused;
// those of a later one wait a second for it to be opened here, and are told
// to come again if it is not.
//
//	port, err := tcp.Listen("10.0.0.1:7000")
//	for gen := range generations {
//		comm, err := tcp.Open(ctx, gen, self, peers, tcp.Options{Port: port, TLS: config})
//		...
//	}
//	port.Close()
type Port struct {
	ln     net.Listener
	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu      sync.Mutex
	mesh    *mesh         // that of the group opened last, nil before the first
	changed chan struct{} // closed when mesh changes
}

const (
	maxGreetings = 64              // connections that have not proved what they are
	greetingTime = 5 * time.Second // each has for that
	parkingTime  = time.Second     // for this process to open the generation of a connection
)

// Listen listens at host:port. Port 0 chooses one, see Addr.
func Listen(addr string) (*Port, error) {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	return NewPort(ln), nil
}

// NewPort takes a listener over.
func NewPort(ln net.Listener) *Port {
	p := &Port{ln: ln, changed: make(chan struct{})}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	p.wg.Go(p.accept)
	return p
}

// Addr is the address that it listens at.
func (p *Port) Addr() string { return p.ln.Addr().String() }

// Close ends listening. Groups that are open go on.
func (p *Port) Close() error {
	p.cancel()
	err := p.ln.Close()
	p.wg.Wait()
	return err
}

// serve makes connections those of a mesh.
func (p *Port) serve(m *mesh) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mesh = m
	close(p.changed)
	p.changed = make(chan struct{})
}

// current is the mesh of the group opened last, and a channel that is closed
// when there is another.
func (p *Port) current() (*mesh, chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mesh, p.changed
}

// await waits for a mesh other than m, for some time. It returns m if there
// is none.
func (p *Port) await(m *mesh, patience time.Duration) *mesh {
	next, changed := p.current()
	if next != m {
		return next
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-changed:
	case <-timer.C:
	case <-p.ctx.Done():
	}
	next, _ = p.current()
	return next
}

func (p *Port) accept() {
	greetings := make(chan struct{}, maxGreetings)
	for {
		c, err := p.ln.Accept()
		if err != nil {
			if p.ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return
			}
			if m, _ := p.current(); m != nil {
				m.refuse("accept", err) // such as too many open files; it may pass
			}
			pause(p.ctx, 10*time.Millisecond)
			continue
		}
		select {
		case greetings <- struct{}{}:
		default:
			c.Close() // the others come again
			continue
		}
		p.wg.Go(func() {
			defer func() { <-greetings }()
			p.greet(c)
		})
	}
}

// greet lets in a connection that proves to be a link of the group.
func (p *Port) greet(raw net.Conn) {
	m := p.await(nil, greetingTime)
	if m == nil {
		raw.Close()
		return
	}
	stop := context.AfterFunc(p.ctx, func() { raw.Close() })
	g, err := m.admit(p.ctx, raw)
	for errors.Is(err, errAhead) {
		next := p.await(m, parkingTime)
		if next == m {
			break
		}
		m = next
		g.answer, err = m.check(&g.hello)
	}
	if err == nil {
		err = m.verify(g.conn, int(g.hello.from))
	}
	if g.heard {
		if e := writeAnswer(g.conn, &g.answer, err); err == nil {
			err = e
		}
	}
	if !stop() {
		return // Close has closed it
	}
	if err != nil {
		raw.Close()
		m.refuse(raw.RemoteAddr().String(), err)
		return
	}
	m.place(int(g.hello.from), int(g.hello.link), g.conn)
}

// guest is a connection in greeting.
type guest struct {
	conn   net.Conn
	hello  hello
	heard  bool  // hello is what it said
	answer hello // this side's own
}

// refuse logs why a connection is none.
func (m *mesh) refuse(who string, err error) {
	m.o.Log.Warn("connection refused", zap.String("peer", who), zap.Int("rank", int(m.own.from)), zap.Error(err))
	m.note(who, err)
}
