package tcp_test

import (
	"context"
	"errors"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/espalier-ml/espalier/collective"
	"github.com/espalier-ml/espalier/collective/tcp"
)

// Operations allocate nothing, of any size and however they are waited for.
func TestNoAllocations(t *testing.T) {
	cancelable, cancel := context.WithCancel(context.Background())
	defer cancel()
	for _, tt := range []struct {
		name string
		ctx  context.Context
		o    tcp.Options
	}{
		{"plain wait", context.Background(), tcp.Options{}},
		{"interruptible", cancelable, tcp.Options{Sockets: 2}},
		{"ring", context.Background(), tcp.Options{Order: tcp.Fast}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.o.Observe = func(collective.Event) {}
			comms := group(t, 3, tt.o, nil)
			step := func(c collective.Comm) func() {
				long, short, count := make([]float32, 300000), make([]float32, 1000), []int64{1}
				parts := make([]collective.Buf, len(collective.Parts(8, 3, c.Info().Rank)))
				for i := range parts {
					parts[i] = collective.Float32s(make([]float32, 50000))
				}
				return func() {
					works := [...]collective.Work{
						c.AllReduce(collective.Float32s(long), collective.Sum, collective.OpMeta{Bucket: 1}),
						c.AllReduce(collective.Float32s(short), collective.Sum, collective.OpMeta{Bucket: 2}),
						c.AllReduce(collective.Int64s(count), collective.Max, collective.OpMeta{}),
						c.Broadcast(collective.Float32s(long), 1, collective.OpMeta{}),
						c.SumShards(parts, 8, collective.OpMeta{}),
						c.Barrier(collective.OpMeta{}),
					}
					for _, w := range works {
						if err := w.Wait(tt.ctx); err != nil {
							t.Error(err)
						}
					}
				}
			}
			const runs = 20
			var wg sync.WaitGroup
			for _, c := range comms[1:] {
				wg.Go(func() {
					f := step(c)
					for range runs + 4 {
						f()
					}
				})
			}
			f := step(comms[0])
			for range 3 { // fills free lists
				f()
			}
			// The runtime itself allocates now and then, and the queues of
			// frames settle late: less than one in a step of 18 operations.
			if n := testing.AllocsPerRun(runs, f); n >= 1 {
				t.Errorf("%v allocations in a step of 6 operations on 3 ranks", n)
			}
			wg.Wait()
		})
	}
}

// What a process holds.
func held(t *testing.T) (fds, goroutines int) {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skipf("no /proc: %v", err)
	}
	return len(entries), runtime.NumGoroutine()
}

func TestNothingLeft(t *testing.T) {
	ctx := context.Background()
	ranks := func(t *testing.T, f func(c collective.Comm)) {
		comms, err := open(3, tcp.Options{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		each(comms, f)
		each(comms, func(c collective.Comm) { c.Close(ctx) })
	}
	tests := []struct {
		name string
		use  func(t *testing.T)
	}{
		{"close", func(t *testing.T) {
			ranks(t, func(c collective.Comm) {
				c.Alloc(ctx, 1<<20)
				c.Barrier(collective.OpMeta{}).Wait(ctx)
			})
		}},
		{"abort", func(t *testing.T) {
			ranks(t, func(c collective.Comm) {
				w := c.AllReduce(collective.Float32s(make([]float32, 1<<20)), collective.Sum, collective.OpMeta{})
				if c.Info().Rank == 0 {
					c.Abort(errors.New("enough"))
				}
				w.Wait(ctx)
			})
		}},
		{"closed while others are missing", func(t *testing.T) {
			ranks(t, func(c collective.Comm) {
				if c.Info().Rank == 0 {
					c.Barrier(collective.OpMeta{})
					soon, cancel := context.WithTimeout(ctx, time.Millisecond)
					defer cancel()
					if err := c.Close(soon); err == nil {
						t.Error("closed in good order with an operation pending")
					}
				}
			})
		}},
		{"never connected", func(t *testing.T) {
			peers, listeners, err := addresses(2)
			if err != nil {
				t.Fatal(err)
			}
			listeners[1].Close()
			if _, err := tcp.Open(ctx, collective.Gen{}, 0, peers, tcp.Options{Plain: true, Listener: listeners[0], Connect: time.Millisecond}); err == nil {
				t.Error("connected with nobody")
			}
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.use(t) // whatever is made once
			fds, goroutines := held(t)
			tt.use(t)
			f, g := held(t)
			for limit := time.Now().Add(10 * time.Second); g > goroutines && time.Now().Before(limit); f, g = held(t) {
				runtime.Gosched() // goroutines that have said they are done, but not gone
			}
			if f > fds || g > goroutines {
				t.Errorf("left over: %d descriptors, %d goroutines", f-fds, g-goroutines)
			}
		})
	}
}
