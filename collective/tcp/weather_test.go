package tcp_test

import (
	"context"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/espalier-ml/espalier/collective"
	"github.com/espalier-ml/espalier/collective/tcp"
)

// weather is a way that takes 200 ms, on which a third of all packets is lost
// and sent again after as long: TCP hides the loss and shows the time.
type weather struct {
	net.Conn
	mu     sync.Mutex
	closed bool
	queue  chan packet
	random *rand.Rand
}

type packet struct {
	data []byte
	due  time.Time
}

const oneWay = 200 * time.Millisecond

func badWeather(seed uint64) func(ctx context.Context, addr string) (net.Conn, error) {
	var n uint64
	var mu sync.Mutex
	return func(ctx context.Context, addr string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
		if err != nil {
			return nil, err
		}
		mu.Lock()
		defer mu.Unlock()
		n++
		w := &weather{Conn: c, queue: make(chan packet, 1024), random: rand.New(rand.NewPCG(seed, n))}
		go w.carry()
		return w, nil
	}
}

func (w *weather) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return 0, net.ErrClosed
	}
	w.queue <- packet{append([]byte(nil), b...), time.Now().Add(oneWay)}
	return len(b), nil
}

func (w *weather) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.closed {
		w.closed = true
		close(w.queue)
	}
	return w.Conn.Close()
}

func (w *weather) carry() {
	for p := range w.queue {
		for w.random.IntN(10) < 3 {
			p.due = p.due.Add(oneWay)
		}
		time.Sleep(time.Until(p.due)) // the way itself, not a wait for something
		w.Conn.Write(p.data)
	}
}

// Nobody counts as dead because the way is long and lossy.
func TestNoFalseExclusion(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds, as the way does")
	}
	comms := group(t, 3, tcp.Options{}, func(r int, o *tcp.Options) { o.Dial = badWeather(uint64(r)) })
	each(comms, func(c collective.Comm) {
		long := make([]float32, 200000)
		for step := range uint64(2) {
			for i := range long {
				long[i] = 1
			}
			works := []collective.Work{
				c.AllReduce(collective.Float32s(long), collective.Sum, collective.OpMeta{Seq: step}),
				c.Barrier(collective.OpMeta{Seq: step, Bucket: 1}),
			}
			for _, w := range works {
				if err := wait(w); err != nil {
					t.Errorf("rank %d step %d: %v", c.Info().Rank, step, err)
					return
				}
			}
			if long[0] != 3 || long[len(long)-1] != 3 {
				t.Errorf("rank %d step %d: sums %g and %g, want 3", c.Info().Rank, step, long[0], long[len(long)-1])
			}
		}
	})
}
