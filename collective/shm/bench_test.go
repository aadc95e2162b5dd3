package shm_test

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"testing"

	"github.com/espalier-ml/espalier/collective"
	"github.com/espalier-ml/espalier/collective/shm"
)

// BenchmarkAllReduce reduces float32 in place in a region, all ranks in one
// process. busbw is bytes/time * 2(world-1)/world, as nccl-tests define it:
// it can be compared across world sizes.
//
//	go test -bench AllReduce ./collective/shm
func BenchmarkAllReduce(b *testing.B) {
	for _, world := range []int{2, 4} {
		for bytes := 1 << 10; bytes <= 64<<20; bytes *= 4 {
			b.Run(fmt.Sprintf("world=%d/bytes=%d", world, bytes), func(b *testing.B) {
				benchmark(b, world, bytes, true)
			})
		}
	}
}

// BenchmarkAllReduceStaged is the same for buffers outside regions.
func BenchmarkAllReduceStaged(b *testing.B) {
	for bytes := 8; bytes <= 64<<20; bytes *= 64 {
		b.Run(fmt.Sprintf("world=2/bytes=%d", bytes), func(b *testing.B) { benchmark(b, 2, bytes, false) })
	}
}

func benchmark(b *testing.B, world, bytes int, inPlace bool) {
	comms, err := shm.NewGroup(world, shm.Options{})
	if err != nil {
		b.Fatal(err)
	}
	ctx := context.Background()
	var ready, done sync.WaitGroup
	begin := make(chan struct{})
	for _, c := range comms {
		ready.Add(1)
		done.Add(1)
		go func() {
			defer done.Done()
			defer c.Close(ctx)
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			data := make([]float32, bytes/4)
			if inPlace {
				r, err := c.Alloc(ctx, int64(bytes))
				if err != nil {
					b.Error(err)
				}
				data = r.Float32s()
			}
			buf := collective.Float32s(data)
			for range 3 {
				c.AllReduce(buf, collective.Sum, collective.OpMeta{}).Wait(ctx)
			}
			ready.Done()
			<-begin
			for i := range b.N {
				if err := c.AllReduce(buf, collective.Sum, collective.OpMeta{Seq: uint64(i)}).Wait(ctx); err != nil {
					b.Error(err)
					return
				}
			}
		}()
	}
	ready.Wait()
	b.ReportAllocs()
	b.ResetTimer()
	close(begin)
	done.Wait()
	b.StopTimer()
	seconds := b.Elapsed().Seconds() / float64(b.N)
	b.ReportMetric(float64(bytes)/seconds*2*float64(world-1)/float64(world)/1e9, "busbw-GB/s")
}
