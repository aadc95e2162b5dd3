package allreduce

import (
	"context"
	"io"
	"net"
)

// copier passes bytes around a ring of ranks, as many as a ring all-reduce
// does, over one socket to the next rank and one from the one before.
type copier struct {
	rank, world int
	ln          net.Listener
	next, prev  net.Conn
	out, in     []byte
	total, part int
	orders      chan struct{} // to the writer
	written     chan error
}

// ringSegment is how much is written and read at a time, at most.
const ringSegment = 256 << 10

func newCopier(k rank) (*copier, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	c := &copier{rank: k.rank, world: k.world, ln: ln, orders: make(chan struct{}), written: make(chan error)}
	go c.write()
	return c, nil
}

func (c *copier) address() string { return c.ln.Addr().String() }

func (c *copier) meet(ctx context.Context, peers []string) (err error) {
	if c.next, err = new(net.Dialer).DialContext(ctx, "tcp", peers[(c.rank+1)%c.world]); err != nil {
		return err
	}
	c.prev, err = c.ln.Accept()
	return err
}

func (c *copier) prepare(_ context.Context, bytes int) error {
	c.out, c.in = make([]byte, bytes), make([]byte, bytes)
	c.total = 2 * (c.world - 1) * (bytes / c.world)
	c.part = min(ringSegment, bytes/c.world)
	return nil
}

func (c *copier) memory() []float32 { return nil }

func (c *copier) operate() error {
	c.orders <- struct{}{}
	for n := 0; n < c.total; n += c.part {
		at := n % (len(c.in) - c.part + 1)
		if _, err := io.ReadFull(c.prev, c.in[at:at+min(c.part, c.total-n)]); err != nil {
			return err
		}
	}
	return <-c.written
}

func (c *copier) write() {
	for range c.orders {
		var err error
		for n := 0; n < c.total && err == nil; n += c.part {
			at := n % (len(c.out) - c.part + 1)
			_, err = c.next.Write(c.out[at : at+min(c.part, c.total-n)])
		}
		c.written <- err
	}
}

// barrier passes a byte around: the ring itself keeps ranks together.
func (c *copier) barrier() error {
	for range c.world {
		if _, err := c.next.Write([]byte{1}); err != nil {
			return err
		}
		if _, err := io.ReadFull(c.prev, make([]byte, 1)); err != nil {
			return err
		}
	}
	return nil
}

func (c *copier) close() {
	close(c.orders)
	c.ln.Close()
	for _, conn := range []net.Conn{c.next, c.prev} {
		if conn != nil {
			conn.Close()
		}
	}
}
