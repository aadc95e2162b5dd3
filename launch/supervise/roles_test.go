package supervise

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"testing"

	"github.com/espalier-ml/espalier/collective"
	"github.com/espalier-ml/espalier/collective/shm"
)

// The test binary is also the worker, and a parent that can be killed.
const roleKey = "SUPERVISE_TEST_ROLE"

func TestMain(m *testing.M) {
	if role := os.Getenv(roleKey); role != "" {
		os.Exit(play(role))
	}
	os.Exit(m.Run())
}

func play(role string) int {
	if role == "parent" {
		os.Setenv(roleKey, "block")
		fmt.Fprintln(os.Stderr, Run(context.Background(), Spec{World: 2}))
		return 1
	}
	comm, err := Worker(shm.Options{})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 9
	}
	f, ok := roles[role]
	if !ok {
		fmt.Fprintln(os.Stderr, "no such role:", role)
		return 9
	}
	return f(comm, int(comm.Info().Rank))
}

// Each role returns an exit status. Most let rank 1 do something and the
// others wait for it in a barrier.
var roles = map[string]func(c collective.Comm, rank int) int{
	"sum":    roleSum,
	"shards": roleShards,
	"print":  rolePrint,
	"fail": func(c collective.Comm, rank int) int {
		if rank == 1 {
			fmt.Fprintln(os.Stderr, "no such layer: conv9")
			return 3
		}
		return awaitAbort(c)
	},
	"kill": func(c collective.Comm, rank int) int {
		if rank == 1 {
			syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}
		return awaitAbort(c)
	},
	"abort": func(c collective.Comm, rank int) int {
		if rank == 1 {
			c.Abort(errors.New("the loss is not a number"))
			syscall.Kill(os.Getppid(), 0) // any system call: the others are faster
			awaitAbort(c)
			return 5
		}
		return awaitAbort(c)
	},
	"leave": func(c collective.Comm, rank int) int {
		if rank == 1 {
			return 0
		}
		if err := barrier(c); !errors.Is(err, collective.ErrClosed) {
			fmt.Fprintln(os.Stderr, "unexpected:", err)
			return 8
		}
		return 0
	},
	"stubborn": func(c collective.Comm, rank int) int {
		signal.Ignore(syscall.SIGTERM)
		announce(c)
		select {}
	},
	"stop": func(c collective.Comm, rank int) int {
		ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		defer cancel()
		announce(c)
		<-ctx.Done()
		if barrier(c) != nil {
			return 8
		}
		return ExitStopped
	},
	"block": func(c collective.Comm, rank int) int {
		alive, err := os.OpenFile(os.Getenv("SUPERVISE_TEST_FIFO"), os.O_WRONLY, 0)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 9
		}
		fmt.Fprintln(alive, "alive", rank)
		barrier(c)
		select {}
	},
}

func barrier(c collective.Comm) error {
	return c.Barrier(collective.OpMeta{}).Wait(context.Background())
}

// announce tells the parent's standard output that all ranks are there.
func announce(c collective.Comm) {
	barrier(c)
	if c.Info().Rank == 0 {
		fmt.Println("ready")
	}
}

// awaitAbort is a worker that does nothing wrong.
func awaitAbort(c collective.Comm) int {
	if err := barrier(c); !errors.Is(err, collective.ErrAborted) {
		fmt.Fprintln(os.Stderr, "unexpected:", err)
		return 8
	}
	return 1
}

// roleSum reduces in a region and elsewhere, and prints what rank 0 got.
func roleSum(c collective.Comm, rank int) int {
	defer c.Close(context.Background())
	region, err := c.Alloc(context.Background(), 1<<20)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	grad, count := region.Float32s(), []int64{int64(rank)}
	for i := range grad {
		grad[i] = float32(rank + i)
	}
	ctx := context.Background()
	err = errors.Join(
		c.AllReduce(collective.Float32s(grad), collective.Sum, collective.OpMeta{}).Wait(ctx),
		c.AllReduce(collective.Int64s(count), collective.Sum, collective.OpMeta{}).Wait(ctx))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if rank == 0 {
		fmt.Println(c.Info().World, count[0], grad[0], grad[1000], runtime.NumCPU())
	}
	return 0
}

// roleShards adds 8 logical shards on however many workers, in buckets, and
// prints a digest of the sum.
func roleShards(c collective.Comm, rank int) int {
	const shards, n = 8, 10007
	ctx := context.Background()
	region, err := c.Alloc(ctx, n*4)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	sum := region.Float32s()
	acc := collective.NewAccumulator([][]float32{sum}, collective.Parts(shards, c.Info().World, c.Info().Rank))
	var works []collective.Work
	for range acc.Shards() {
		g, s := acc.Buf(), acc.Shard()
		for i := range g {
			g[i] = 1 / (float32(i) + 3.7*float32(s) - 9)
		}
		for from := 0; from < n; from += 1000 {
			to := min(from+1000, n)
			acc.Merge(from, to)
			if acc.Last() {
				works = append(works, c.AllReduce(collective.Float32s(sum[from:to]), collective.Sum, collective.OpMeta{Bucket: int32(from)}))
			}
		}
		acc.Next()
	}
	for _, w := range works {
		if err := w.Wait(ctx); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	if rank == 0 {
		h := fnv.New64a()
		binary.Write(h, binary.LittleEndian, sum)
		fmt.Printf("%016x\n", h.Sum64())
	}
	return 0
}

// rolePrint writes lines in turn, so that their order is known.
func rolePrint(c collective.Comm, rank int) int {
	for r := range c.Info().World {
		if r == rank {
			fmt.Printf("out %d\nunfinished", r)
			os.Stdout.Sync()
		}
		barrier(c)
	}
	return 0
}
