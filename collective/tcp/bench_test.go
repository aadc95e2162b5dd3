package tcp_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/espalier-ml/espalier/collective"
	"github.com/espalier-ml/espalier/collective/tcp"
)

// The benchmarks report busbw, bytes/time * 2(world-1)/world as nccl-tests
// define it, of all ranks in one process on loopback.
//
//	go test -bench AllReduce ./collective/tcp

func BenchmarkAllReduce(b *testing.B) {
	for _, order := range []tcp.Order{tcp.Strict, tcp.Fast} {
		for _, world := range []int{2, 4} {
			for bytes := 1 << 10; bytes <= 64<<20; bytes *= 4 {
				b.Run(fmt.Sprintf("%v/world=%d/bytes=%d", order, world, bytes), func(b *testing.B) {
					b.ReportAllocs()
					ranks := reducers(b, world, bytes, tcp.Options{Order: order})
					defer ranks.end()
					ranks.rounds(3)
					b.ResetTimer()
					ranks.rounds(b.N)
					b.StopTimer()
					b.ReportMetric(busbw(world, bytes, b.Elapsed()/time.Duration(b.N)), "busbw-GB/s")
				})
			}
		}
	}
}

func busbw(world, bytes int, d time.Duration) float64 {
	return float64(bytes) / d.Seconds() * 2 * float64(world-1) / float64(world) / 1e9
}

// BenchmarkCap sets AllReduce beside a ring copy, which moves the same bytes
// over the same kind of sockets, in segments of the same size, and does
// nothing with them: no sums, no checksums, no waiting for other ranks. They
// take turns in rounds, so that both see the same machine; best and median
// of the rounds count. cpu is processor time, user and system.
//
//	go test -bench Cap -benchtime 30x ./collective/tcp
func BenchmarkCap(b *testing.B) {
	for _, world := range []int{2, 4} {
		for bytes := 256 << 10; bytes <= 64<<20; bytes *= 4 {
			b.Run(fmt.Sprintf("world=%d/bytes=%d", world, bytes), func(b *testing.B) {
				contenders := []*team{reducers(b, world, bytes, tcp.Options{}), copiers(b, world, bytes)}
				var wall, cpu [2][]time.Duration
				n := max(1, 4<<20/bytes)
				for round := range b.N + 1 {
					for k, t := range contenders {
						began, used := time.Now(), processorTime()
						t.rounds(n)
						if round > 0 { // the first is to warm up
							wall[k] = append(wall[k], time.Since(began)/time.Duration(n))
							cpu[k] = append(cpu[k], (processorTime()-used)/time.Duration(n))
						}
					}
				}
				for k, t := range contenders {
					t.end()
					slices.Sort(wall[k])
					slices.Sort(cpu[k])
				}
				half := b.N / 2
				b.ReportMetric(0, "ns/op")
				b.ReportMetric(busbw(world, bytes, wall[0][0]), "busbw-GB/s")
				b.ReportMetric(busbw(world, bytes, wall[1][0]), "cap-GB/s")
				b.ReportMetric(float64(wall[1][0])/float64(wall[0][0]), "best/cap")
				b.ReportMetric(float64(wall[1][half])/float64(wall[0][half]), "median/cap")
				b.ReportMetric(float64(cpu[1][half])/float64(cpu[0][half]), "cpu/cap")
			})
		}
	}
}

func processorTime() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// team is a goroutine for each rank that does rounds on demand.
type team struct {
	orders []chan int
	done   sync.WaitGroup
	end    func()
}

func newTeam(world int, round func(r int), end func()) *team {
	t := &team{}
	for r := range world {
		orders := make(chan int)
		t.orders = append(t.orders, orders)
		go func() {
			for n := range orders {
				for range n {
					round(r)
				}
				t.done.Done()
			}
		}()
	}
	t.end = func() {
		for _, o := range t.orders {
			close(o)
		}
		end()
	}
	return t
}

func (t *team) rounds(n int) {
	t.done.Add(len(t.orders))
	for _, o := range t.orders {
		o <- n
	}
	t.done.Wait()
}

func reducers(b *testing.B, world, bytes int, o tcp.Options) *team {
	comms, err := open(world, o, nil)
	if err != nil {
		b.Fatal(err)
	}
	ctx := context.Background()
	bufs := make([]collective.Buf, world)
	each(comms, func(c collective.Comm) {
		region, err := c.Alloc(ctx, int64(bytes))
		if err != nil {
			b.Error(err)
			return
		}
		bufs[c.Info().Rank] = collective.Float32s(region.Float32s())
	})
	return newTeam(world, func(r int) {
		if err := comms[r].AllReduce(bufs[r], collective.Sum, collective.OpMeta{}).Wait(ctx); err != nil {
			b.Error(err)
		}
	}, func() { each(comms, func(c collective.Comm) { c.Close(ctx) }) })
}

func copiers(b *testing.B, world, bytes int) *team {
	next, prev := make([]net.Conn, world), make([]net.Conn, world)
	outs, ins := make([][]byte, world), make([][]byte, world)
	for r := range world {
		outs[r], ins[r] = make([]byte, bytes), make([]byte, bytes)
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		if next[r], err = net.Dial("tcp", ln.Addr().String()); err != nil {
			b.Fatal(err)
		}
		if prev[(r+1)%world], err = ln.Accept(); err != nil {
			b.Fatal(err)
		}
		ln.Close()
	}
	per, part := 2*(world-1)*bytes/world, min(256<<10, bytes/world)
	writers := newTeam(world, func(r int) {
		for n := 0; n < per; n += part {
			next[r].Write(outs[r][n%bytes:][:part])
		}
	}, func() {})
	readers := newTeam(world, func(r int) {
		for n := 0; n < per; n += part {
			io.ReadFull(prev[r], ins[r][n%bytes:][:part])
		}
	}, func() {})
	return newTeam(1, func(int) {
		writers.done.Add(world)
		for _, o := range writers.orders {
			o <- 1
		}
		readers.rounds(1)
		writers.done.Wait()
	}, func() {
		writers.end()
		readers.end()
		for r := range world {
			next[r].Close()
			prev[r].Close()
		}
	})
}
