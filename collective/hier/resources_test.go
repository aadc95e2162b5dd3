package hier_test

import (
	"context"
	"errors"
	"math"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/espalier-ml/espalier/collective"
	"github.com/espalier-ml/espalier/collective/hier"
)

// each runs f for all ranks at once.
func each(comms []collective.Comm, f func(c collective.Comm)) {
	var wg sync.WaitGroup
	for _, c := range comms {
		wg.Go(func() { f(c) })
	}
	wg.Wait()
}

// Sums have the bits of the tree over all ranks for every layout, length and
// chunk, in regions and elsewhere.
func TestOrderOfAdditions(t *testing.T) {
	ctx := context.Background()
	uneven := func(rank, n int) []float32 {
		v, x := make([]float32, n), uint32(rank+1)*2654435761
		for i := range v {
			x ^= x << 13
			x ^= x >> 17
			x ^= x << 5
			v[i] = float32(int32(x)) * float32(math.Ldexp(1, int(x%40)-50))
		}
		return v
	}
	for _, sizes := range [][]int{{2, 2}, {4, 4}, {2, 2, 2}, {1, 1, 1}, {4}} {
		world := len(sizes) * sizes[0]
		comms, err := open(sizes, 0, hier.Options{Chunk: 32 << 10})
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range []int{1, 48, 49, 500, 100003} {
			inputs, want := make([][]float32, world), make([]float32, n)
			for r := range inputs {
				inputs[r] = uneven(r, n)
			}
			collective.SumTree(want, inputs...)
			each(comms, func(c collective.Comm) {
				region, err := c.Alloc(ctx, int64(4*n))
				if err != nil {
					t.Error(err)
					return
				}
				for k, v := range [][]float32{region.Float32s()[:n], make([]float32, n)} {
					copy(v, inputs[c.Info().Rank])
					if err := c.AllReduce(collective.Float32s(v), collective.Sum, collective.OpMeta{}).Wait(ctx); err != nil {
						t.Error(err)
					}
					if !slices.EqualFunc(v, want, func(a, b float32) bool { return math.Float32bits(a) == math.Float32bits(b) }) {
						t.Errorf("%v, rank %d, %s: sum of %d has other bits", sizes, c.Info().Rank, [...]string{"region", "heap"}[k], n)
					}
				}
				region.Free(ctx)
			})
		}
		each(comms, func(c collective.Comm) { c.Close(ctx) })
	}
}

func TestNoAllocations(t *testing.T) {
	ctx := context.Background()
	comms, err := open([]int{2, 2}, 0, hier.Options{Observe: func(collective.Event) {}})
	if err != nil {
		t.Fatal(err)
	}
	step := func(c collective.Comm) func() {
		long, count := make([]float32, 300001), []int64{1}
		return func() {
			a := c.AllReduce(collective.Float32s(long), collective.Sum, collective.OpMeta{})
			b := c.AllReduce(collective.Int64s(count), collective.Max, collective.OpMeta{})
			if err := errors.Join(a.Wait(ctx), b.Wait(ctx)); err != nil {
				t.Error(err)
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
	for range 3 {
		f()
	}
	if n := testing.AllocsPerRun(runs, f); n >= 1 {
		t.Errorf("%v allocations in a step of 2 operations on 4 ranks", n)
	}
	wg.Wait()
	each(comms, func(c collective.Comm) { c.Close(ctx) })
}

func TestNothingLeft(t *testing.T) {
	ctx := context.Background()
	held := func() (fds, maps, goroutines int) {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Skipf("no /proc: %v", err)
		}
		text, _ := os.ReadFile("/proc/self/maps")
		return len(entries), strings.Count(string(text), "memfd:espalier"), runtime.NumGoroutine()
	}
	for name, use := range map[string]func(c collective.Comm){
		"close": func(c collective.Comm) { c.Alloc(ctx, 1<<20) },
		"abort": func(c collective.Comm) {
			w := c.AllReduce(collective.Float32s(make([]float32, 1<<18)), collective.Sum, collective.OpMeta{})
			if c.Info().Rank == 3 {
				c.Abort(errors.New("enough"))
			}
			w.Wait(ctx)
		},
	} {
		t.Run(name, func(t *testing.T) {
			round := func() {
				comms, err := open([]int{2, 2}, 0, hier.Options{})
				if err != nil {
					t.Fatal(err)
				}
				each(comms, use)
				each(comms, func(c collective.Comm) { c.Close(ctx) })
			}
			round() // whatever is made once
			fds, maps, goroutines := held()
			round()
			f, m, g := held()
			for limit := time.Now().Add(10 * time.Second); g > goroutines && time.Now().Before(limit); f, m, g = held() {
				runtime.Gosched()
			}
			if f > fds || m > maps || g > goroutines {
				t.Errorf("left over: %d descriptors, %d mappings, %d goroutines", f-fds, m-maps, g-goroutines)
			}
		})
	}
}
