package tcp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/espalier-ml/espalier/collective"
)

// mesh connects a rank with all others: it dials the ranks below its own and
// accepts those above. It works as long as Open; after that it serves to tell
// strays what they are.
type mesh struct {
	o     *Options
	own   hello // with to and link left open
	addrs []string

	mu      sync.Mutex
	conns   [][]net.Conn // by rank and link
	missing int
	done    chan struct{} // closed when nothing is missing
	refused string        // why the last attempt failed
	firm    bool          // because one side refused the other
	over    bool          // connect has returned
}

const maxBackoff = 250 * time.Millisecond

func newMesh(gen collective.Gen, self collective.Rank, addrs []string, o *Options) *mesh {
	world := len(addrs)
	m := &mesh{o: o, addrs: addrs, conns: make([][]net.Conn, world), done: make(chan struct{}), own: hello{
		version: version, world: uint16(world), from: uint16(self), links: uint16(o.links()),
		segment: uint32(o.Segment), short: uint32(o.Short), gen: gen, config: o.Config, order: o.Order,
	}}
	for r := range m.conns {
		if r != int(self) {
			m.conns[r] = make([]net.Conn, o.links())
			m.missing += o.links()
		}
	}
	if m.missing == 0 {
		close(m.done)
	}
	return m
}

// connect makes all links, or none.
func (m *mesh) connect(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, m.o.Connect)
	defer cancel()
	ctx, fail := context.WithCancelCause(ctx)
	var wg sync.WaitGroup
	hangUp, err := m.listen(ctx)
	if err == nil {
		for r := range int(m.own.from) {
			for l := range m.conns[r] {
				wg.Go(func() {
					if err := m.reach(ctx, r, l); err != nil {
						fail(err)
					}
				})
			}
		}
		select {
		case <-m.done:
		case <-ctx.Done():
			err = m.incomplete(context.Cause(ctx))
		}
	}
	fail(nil) // ends whoever still dials
	m.mu.Lock()
	m.over = true
	m.mu.Unlock()
	hangUp()
	wg.Wait()
	if err != nil {
		m.closeAll()
	}
	return err
}

// incomplete says which ranks are missing, and why.
func (m *mesh) incomplete(cause error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	var who []string
	for r, links := range m.conns {
		if slices.Contains(links, nil) {
			who = append(who, fmt.Sprintf("%d (%s)", r, m.addrs[r]))
		}
	}
	err := fmt.Errorf("no connection with rank %s: %w", strings.Join(who, ", "), cause)
	if m.refused != "" {
		err = fmt.Errorf("%w; last attempt: %s", err, m.refused)
	}
	return err
}

func (m *mesh) closeAll() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, links := range m.conns {
		for _, c := range links {
			if c != nil {
				c.Close()
			}
		}
	}
}

// place keeps a connection that is proven. One in its place is from an
// earlier attempt of the same rank.
func (m *mesh) place(rank, link int, c net.Conn) {
	c.SetDeadline(time.Time{})
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.over {
		c.Close()
		return
	}
	old := m.conns[rank][link]
	m.conns[rank][link] = c
	if old != nil {
		old.Close()
		return
	}
	if m.missing--; m.missing == 0 {
		close(m.done)
	}
}

// listen answers connections, if others dial this rank, and returns what ends
// that.
func (m *mesh) listen(ctx context.Context) (end func(), err error) {
	port := m.o.Port
	if port == nil {
		if port, err = m.ownPort(ctx); port == nil {
			return func() {}, err
		}
	}
	if a, ok := port.ln.Addr().(*net.TCPAddr); ok && m.o.Plain && !a.IP.IsLoopback() {
		err = fmt.Errorf("listener at %v: plain text is for loopback only; configure TLS", a)
	} else {
		port.serve(m)
	}
	if m.o.Port != nil {
		return func() {}, err
	}
	return func() { port.Close() }, err
}

// ownPort is one for this group alone; nil for the last rank, which nobody
// dials.
func (m *mesh) ownPort(ctx context.Context) (*Port, error) {
	ln := m.o.Listener
	if int(m.own.from) == len(m.addrs)-1 {
		if ln != nil {
			ln.Close()
		}
		return nil, nil
	}
	if ln == nil {
		var err error
		if ln, err = new(net.ListenConfig).Listen(ctx, "tcp", m.addrs[m.own.from]); err != nil {
			return nil, err
		}
	}
	return NewPort(ln), nil
}

// note keeps the last reason for the error of Open, a refusal rather than
// trouble with the network.
func (m *mesh) note(who string, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	firm := errors.Is(err, ErrRefused)
	if firm || !m.firm {
		m.refused, m.firm = fmt.Sprintf("%s: %v", who, err), firm
	}
}

// admit hears what a connection has to say and compares it with what it
// should. The answer is left to the caller.
func (m *mesh) admit(ctx context.Context, raw net.Conn) (g guest, err error) {
	raw.SetDeadline(time.Now().Add(greetingTime))
	if err := m.prepare(raw); err != nil {
		return g, err
	}
	g.conn = raw
	if m.o.TLS != nil {
		t := tls.Server(raw, m.tls())
		if err := t.HandshakeContext(ctx); err != nil {
			return g, err
		}
		g.conn = t
	}
	if g.hello, err = hear(g.conn); err != nil {
		g.heard = errors.Is(err, ErrRefused)
		return g, err
	}
	g.heard = true
	g.answer, err = m.check(&g.hello)
	return g, err
}

// hear reads a dialer's hello.
func hear(r io.Reader) (hello, error) {
	var b [helloBytes]byte
	if _, err := io.ReadFull(r, b[:]); err != nil {
		return hello{}, err
	}
	return readHello(b[:])
}

// check compares a hello with what it should be, given the rank and link that
// it claims. answer is this side's own.
func (m *mesh) check(h *hello) (answer hello, err error) {
	want := m.own
	want.from, want.to, want.link = h.from, m.own.from, h.link
	if err = h.check(&want); err != nil {
		return answer, err
	}
	if h.from <= m.own.from || h.from >= m.own.world || h.link >= m.own.links {
		return answer, fmt.Errorf("%w: rank %d link %d dials rank %d", ErrRefused, h.from, h.link, m.own.from)
	}
	if m.isOver() {
		return answer, fmt.Errorf("%w: generation %d is complete, or has failed to form", ErrRefused, h.gen.N)
	}
	answer = want
	answer.from, answer.to = want.to, want.from
	return answer, nil
}

func (m *mesh) isOver() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.over
}

// verify asks Options.Verify about the certificate of a rank.
func (m *mesh) verify(c net.Conn, rank int) error {
	if t, ok := c.(*tls.Conn); ok && m.o.Verify != nil {
		if err := m.o.Verify(collective.Rank(rank), t.ConnectionState()); err != nil {
			return fmt.Errorf("%w: certificate of rank %d: %w", ErrRefused, rank, err)
		}
	}
	return nil
}

func (m *mesh) tls() *tls.Config {
	t := m.o.TLS.Clone()
	t.MinVersion = tls.VersionTLS13
	return t
}

// reach dials a rank until it answers, refuses for good, or ctx ends.
func (m *mesh) reach(ctx context.Context, rank, link int) error {
	backoff := 2 * time.Millisecond
	for {
		err := m.dial(ctx, rank, link)
		if err == nil {
			return nil
		}
		if final(err) || ctx.Err() != nil {
			return fmt.Errorf("rank %d at %s: %w", rank, m.addrs[rank], err)
		}
		m.note(fmt.Sprintf("rank %d at %s", rank, m.addrs[rank]), err)
		pause(ctx, backoff)
		backoff = min(2*backoff, maxBackoff)
	}
}

// final tells errors that no further attempt would mend.
func final(err error) bool {
	var certificate *tls.CertificateVerificationError
	var op *net.OpError
	return errors.Is(err, ErrRefused) && !errors.Is(err, errLater) ||
		errors.As(err, &certificate) ||
		errors.As(err, &op) && op.Op == "remote error" // an alert: the other side rejects our certificate
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// dial makes one attempt at a link.
func (m *mesh) dial(ctx context.Context, rank, link int) error {
	var raw net.Conn
	var err error
	if m.o.Dial != nil {
		raw, err = m.o.Dial(ctx, m.addrs[rank])
	} else {
		raw, err = new(net.Dialer).DialContext(ctx, "tcp", m.addrs[rank])
	}
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { raw.Close() })
	c, err := m.introduce(ctx, raw, rank, link)
	if err != nil || !stop() {
		raw.Close()
		return errors.Join(err, ctx.Err())
	}
	m.place(rank, link, c)
	return nil
}

// introduce is the dialer's half of the handshake.
func (m *mesh) introduce(ctx context.Context, raw net.Conn, rank, link int) (net.Conn, error) {
	raw.SetDeadline(time.Now().Add(greetingTime))
	if err := m.prepare(raw); err != nil {
		return nil, err
	}
	c := raw
	if m.o.TLS != nil {
		config := m.tls()
		if config.ServerName == "" {
			config.ServerName, _, _ = net.SplitHostPort(m.addrs[rank])
		}
		t := tls.Client(raw, config)
		if err := t.HandshakeContext(ctx); err != nil {
			return nil, err
		}
		c = t
	}
	own := m.own
	own.to, own.link = uint16(rank), uint16(link)
	var b [helloBytes]byte
	own.put(b[:])
	if _, err := c.Write(b[:]); err != nil {
		return nil, err
	}
	h, err := readAnswer(c)
	if err != nil {
		return nil, err
	}
	want := own
	want.from, want.to = own.to, own.from
	if err := h.check(&want); err != nil {
		return nil, err
	}
	return c, m.verify(c, rank)
}

// prepare sets up a socket and, for plain text, insists on loopback.
func (m *mesh) prepare(c net.Conn) error {
	if a, ok := c.RemoteAddr().(*net.TCPAddr); ok && m.o.Plain && !a.IP.IsLoopback() {
		return fmt.Errorf("%w: %v: plain text is for loopback only", ErrRefused, a)
	}
	if t, ok := c.(*net.TCPConn); ok {
		return tune(t, m.o)
	}
	return nil
}
