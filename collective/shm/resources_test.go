package shm_test

import (
	"context"
	"errors"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/espalier-ml/espalier/collective"
	"github.com/espalier-ml/espalier/collective/shm"
)

// Operations allocate nothing, however their buffers lie and however they are
// waited for.
func TestNoAllocations(t *testing.T) {
	cancelable, cancel := context.WithCancel(context.Background())
	defer cancel()
	tests := []struct {
		name     string
		inRegion bool
		ctx      context.Context
	}{
		{"in a region", true, context.Background()},
		{"in a region, interruptible", true, cancelable},
		{"elsewhere", false, context.Background()},
		{"elsewhere, interruptible", false, cancelable},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			comms, err := shm.NewGroup(2, shm.Options{Observe: func(collective.Event) {}})
			if err != nil {
				t.Fatal(err)
			}
			step := func(c collective.Comm) func() {
				data, count := make([]float32, 5000), []int64{1}
				if tt.inRegion {
					r, err := c.Alloc(tt.ctx, 20000)
					if err != nil {
						t.Error(err)
					}
					data = r.Float32s()
				}
				parts := []collective.Buf{collective.Float32s(data[4000:4500]), collective.Float32s(data[4500:])}
				return func() {
					var works [4]collective.Work
					for b := range works {
						works[b] = c.AllReduce(collective.Float32s(data[b*1000:(b+1)*1000]), collective.Sum, collective.OpMeta{Bucket: int32(b)})
					}
					shards := c.SumShards(parts, 6, collective.OpMeta{})
					last := c.AllReduce(collective.Int64s(count), collective.Max, collective.OpMeta{})
					if err := shards.Wait(tt.ctx); err != nil {
						t.Error(err)
					}
					for _, w := range works {
						if err := w.Wait(tt.ctx); err != nil {
							t.Error(err)
						}
					}
					last.Wait(tt.ctx)
				}
			}
			const runs = 50
			var wg sync.WaitGroup
			wg.Add(1)
			go func() {
				defer wg.Done()
				f := step(comms[1])
				for range runs + 4 {
					f()
				}
				comms[1].Close(context.Background())
			}()
			f := step(comms[0])
			for range 3 { // fills free lists
				f()
			}
			if n := testing.AllocsPerRun(runs, f); n != 0 {
				t.Errorf("%v allocations in a step of 6 operations on 2 ranks", n)
			}
			comms[0].Close(context.Background())
			wg.Wait()
		})
	}
}

// What a process holds: descriptors, mappings of segments, goroutines.
func held(t *testing.T) (fds, maps, goroutines int) {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skipf("no /proc: %v", err)
	}
	text, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Skipf("no /proc: %v", err)
	}
	return len(entries), strings.Count(string(text), "memfd:espalier"), runtime.NumGoroutine()
}

func TestNothingLeft(t *testing.T) {
	ctx := context.Background()
	tests := []struct {
		name string
		use  func(t *testing.T)
	}{
		{"close", func(t *testing.T) {
			group(t, func(c collective.Comm) {
				c.Alloc(ctx, 1<<20)
				c.Barrier(collective.OpMeta{}).Wait(ctx)
			})
		}},
		{"abort", func(t *testing.T) {
			group(t, func(c collective.Comm) {
				c.Alloc(ctx, 1<<20)
				if c.Info().Rank == 0 {
					c.Abort(errors.New("enough"))
				}
				c.Barrier(collective.OpMeta{}).Wait(ctx)
			})
		}},
		{"closed while others are missing", func(t *testing.T) {
			group(t, func(c collective.Comm) {
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
		{"freed regions", func(t *testing.T) {
			group(t, func(c collective.Comm) {
				for range 3 {
					r, err := c.Alloc(ctx, 1<<20)
					if err != nil {
						t.Error(err)
						return
					}
					r.Free(ctx)
				}
				if _, maps, _ := held(t); maps > 2*2 {
					t.Errorf("%d mappings, want one or two a rank", maps)
				}
			})
		}},
		{"refused", func(t *testing.T) {
			h, err := shm.Create(2, collective.Gen{})
			if err != nil {
				t.Fatal(err)
			}
			defer h.Close()
			for range 3 {
				if _, err := shm.Join(dup(t, h.File()), 7, shm.Options{}); err == nil {
					t.Error("rank 7 joined a group of 2")
				}
			}
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			fds, maps, goroutines := held(t)
			tt.use(t)
			f, m, g := held(t)
			for limit := time.Now().Add(10 * time.Second); g > goroutines && time.Now().Before(limit); _, _, g = held(t) {
				runtime.Gosched() // goroutines that have said they are done, but not gone
			}
			if f > fds || m > maps || g > goroutines {
				t.Errorf("left over: %d descriptors, %d mappings, %d goroutines", f-fds, m-maps, g-goroutines)
			}
		})
	}
}

// group runs f on two ranks and closes them.
func group(t *testing.T, f func(c collective.Comm)) {
	t.Helper()
	comms, err := shm.NewGroup(2, shm.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for _, c := range comms {
		wg.Add(1)
		go func() {
			defer wg.Done()
			f(c)
		}()
	}
	wg.Wait()
	for _, c := range comms {
		c.Close(context.Background())
	}
}
