package tcp_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/espalier-ml/espalier/collective"
	"github.com/espalier-ml/espalier/collective/tcp"
)

// wire lies between the last rank of a group and the others, which it dials.
// It knows a link by the hello that passes first, and does something to the
// n-th write of a certain size on one of them.
type wire struct {
	link  int // 0 for control
	to    int // the rank at the other end
	write int // from 1, of those that count
	size  func(n int) bool
	fault func(c *wired, b []byte) (int, error)

	mu    sync.Mutex
	conns []*wired
}

type wired struct {
	net.Conn
	wire   *wire
	to     int
	link   int
	hello  atomic.Bool // has passed
	writes atomic.Int64
	mute   atomic.Bool // writes go nowhere from now on
	lock   sync.Mutex
}

func (w *wire) dial(ctx context.Context, addr string) (net.Conn, error) {
	c, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	wc := &wired{Conn: c, wire: w}
	w.mu.Lock()
	w.conns = append(w.conns, wc)
	w.mu.Unlock()
	return wc, nil
}

func (c *wired) Write(b []byte) (int, error) {
	c.lock.Lock()
	defer c.lock.Unlock()
	w := c.wire
	if !c.hello.Swap(true) {
		c.to, c.link = int(binary.LittleEndian.Uint16(b[14:])), int(binary.LittleEndian.Uint16(b[16:]))
	} else if c.mute.Load() {
		return len(b), nil
	} else if w.fault != nil && c.to == w.to && c.link == w.link && w.size(len(b)) && int(c.writes.Add(1)) == w.write {
		return w.fault(c, b)
	}
	return c.Conn.Write(b)
}

// The faults.

func flip(c *wired, b []byte) (int, error) {
	bad := append([]byte(nil), b...)
	bad[len(bad)/2] ^= 0x10
	return c.Conn.Write(bad)
}

func drop(c *wired, b []byte) (int, error) { return len(b), nil }

func repeat(c *wired, b []byte) (int, error) {
	c.Conn.Write(b)
	return c.Conn.Write(b)
}

func truncate(c *wired, b []byte) (int, error) {
	c.Conn.Write(b[:len(b)-1])
	return len(b), nil
}

func sever(c *wired, b []byte) (int, error) {
	c.Conn.Write(b[:len(b)/2])
	c.Conn.Close()
	return 0, io.ErrClosedPipe
}

func foreign(c *wired, b []byte) (int, error) { // as a frame of the generation before, valid in itself
	bad := append([]byte(nil), b...)
	tcp.Reframe(bad, 2)
	return c.Conn.Write(bad)
}

// silence makes the whole wire mute in one direction, connections open.
func silence(c *wired, b []byte) (int, error) {
	c.wire.mu.Lock()
	defer c.wire.mu.Unlock()
	for _, other := range c.wire.conns {
		other.mute.Store(true)
	}
	return len(b), nil
}

// kill closes all connections without a word, as the end of a process does.
func kill(c *wired, b []byte) (int, error) {
	c.wire.mu.Lock()
	defer c.wire.mu.Unlock()
	for _, other := range c.wire.conns {
		other.mute.Store(true)
	}
	for _, other := range c.wire.conns {
		other.Conn.Close()
	}
	return 0, io.ErrClosedPipe
}

// Whatever happens to a link between ranks 2 and 0, all ranks get an error
// that says what, and none a wrong sum.
func TestFaults(t *testing.T) {
	const world, floats = 3, 100000
	begin := func(n int) bool { return n > 64 } // on the control link
	head := func(n int) bool { return n == 32 } // on a data link
	data := func(n int) bool { return n > 32 }
	tests := []struct {
		name  string
		link  int
		size  func(n int) bool
		fault func(c *wired, b []byte) (int, error)
		kind  error
		words string // in the error of rank 0, whose link it is; alternatives behind |
	}{
		{"bit flipped in a begin frame", 0, begin, flip, nil, "link 0 between rank 2 and rank 0: corrupted frame"},
		{"bit flipped in a header", 2, head, flip, nil, "link 2 between rank 2 and rank 0: corrupted frame: header"},
		{"bit flipped in data", 2, data, flip, nil, "link 2 between rank 2 and rank 0: corrupted frame: "},
		{"begin frame lost", 0, begin, drop, nil, "link 0 between rank 2 and rank 0: corrupted frame: frame number"},
		{"begin frame twice", 0, begin, repeat, nil, "link 0 between rank 2 and rank 0: corrupted frame: frame number"},
		{"header lost", 2, head, drop, nil, "link 2 between rank 2 and rank 0: corrupted frame"},
		{"data lost", 2, data, drop, nil, "link 2 between rank 2 and rank 0: corrupted frame"},
		{"data twice", 2, data, repeat, nil, "link 2 between rank 2 and rank 0: corrupted frame"},
		{"a byte lost", 2, data, truncate, nil, "link 2 between rank 2 and rank 0: corrupted frame"},
		{"begin frame of another generation", 0, begin, foreign, nil, "link 0 between rank 2 and rank 0: frame of another group: generation 2, want 3"},
		{"control link cut", 0, begin, sever, nil, "rank 2 is gone|rank 0 is gone"}, // each end blames the other; the first abort counts
		{"data link cut", 2, data, sever, nil, "link 2 between rank"},
		{"rank dead", 2, data, kill, nil, "rank 2 is gone"},
		{"rank silent", 2, data, silence, collective.ErrDeadline, "rank 2"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := &wire{link: tt.link, to: 0, write: 3, size: tt.size, fault: tt.fault}
			o := tcp.Options{Heartbeat: 30 * time.Millisecond, Silence: 300 * time.Millisecond}
			comms := group(t, world, o, func(r int, o *tcp.Options) {
				if r == world-1 {
					o.Dial = w.dial
				}
			})
			each(comms, func(c collective.Comm) {
				data := make([]float32, floats)
				for step := range uint64(10) {
					for i := range data {
						data[i] = float32(i + int(c.Info().Rank))
					}
					err := wait(c.AllReduce(collective.Float32s(data), collective.Sum, collective.OpMeta{Seq: step}))
					if err != nil {
						if e := faultIs(err, tt.kind, tt.words, c.Info().Rank == 0); e != nil {
							t.Errorf("rank %d: %v", c.Info().Rank, e)
						}
						return
					}
					for i := range data {
						if want := float32(3*i + 3); data[i] != want {
							t.Errorf("rank %d step %d: element %d is %g, want %g", c.Info().Rank, step, i, data[i], want)
							return
						}
					}
				}
				t.Errorf("rank %d noticed nothing", c.Info().Rank)
			})
		})
	}
}

func faultIs(err, kind error, words string, near bool) error {
	if !errors.Is(err, collective.ErrAborted) || kind != nil && !errors.Is(err, kind) {
		return fmt.Errorf("%q does not wrap %v and %v", err, collective.ErrAborted, kind)
	}
	said := func(w string) bool { return strings.Contains(err.Error(), w) }
	if near && !slices.ContainsFunc(strings.Split(words, "|"), said) {
		return fmt.Errorf("%q does not say %q", err, words)
	}
	return nil
}

// A slow wire, which splits what passes, changes nothing but time.
func TestSlowWire(t *testing.T) {
	w := &wire{}
	comms := group(t, 2, tcp.Options{}, func(r int, o *tcp.Options) {
		if r == 1 {
			o.Dial = func(ctx context.Context, addr string) (net.Conn, error) {
				c, err := w.dial(ctx, addr)
				return &dripping{c}, err
			}
		}
	})
	each(comms, func(c collective.Comm) {
		data := make([]float32, 30000)
		for i := range data {
			data[i] = float32(i)
		}
		if err := wait(c.AllReduce(collective.Float32s(data), collective.Sum, collective.OpMeta{})); err != nil {
			t.Error(err)
		}
		for i := range data {
			if data[i] != float32(2*i) {
				t.Errorf("element %d is %g", i, data[i])
				break
			}
		}
	})
}

// dripping passes few bytes at a time.
type dripping struct{ net.Conn }

func (d *dripping) Write(b []byte) (int, error) {
	for n := 0; n < len(b); n += 997 {
		if k, err := d.Conn.Write(b[n:min(n+997, len(b))]); err != nil {
			return n + k, err
		}
	}
	return len(b), nil
}

func (d *dripping) Read(b []byte) (int, error) { return d.Conn.Read(b[:min(len(b), 1009)]) }

// A rank that issues something else is named even while a third one has not
// come at all.
func TestDesyncBeforeAllHaveCome(t *testing.T) {
	comms := group(t, 3, tcp.Options{}, nil)
	each(comms[:2], func(c collective.Comm) {
		n := 20000 + int(c.Info().Rank)
		err := wait(c.AllReduce(collective.Float32s(make([]float32, n)), collective.Sum, collective.OpMeta{}))
		if !errors.Is(err, collective.ErrDesync) || !strings.Contains(err.Error(), "rank 0 issued allreduce of float32[20000] sum") || !strings.Contains(err.Error(), "rank 1 issued allreduce of float32[20001]") {
			t.Errorf("rank %d: %v", c.Info().Rank, err)
		}
	})
}

// Buffers belong to the caller again when Wait has returned an error.
func TestBufferIsFreeAfterAbort(t *testing.T) {
	for range 20 {
		comms := group(t, 2, tcp.Options{}, nil)
		each(comms, func(c collective.Comm) {
			data := make([]float32, 1<<20)
			w := c.AllReduce(collective.Float32s(data), collective.Sum, collective.OpMeta{})
			if c.Info().Rank == 0 {
				c.Abort(errors.New("enough"))
			}
			wait(w)
			clear(data) // the race detector watches
		})
	}
}
