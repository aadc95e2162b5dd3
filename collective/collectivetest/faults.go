package collectivetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/espalier-ml/espalier/collective"
)

// A network that grows needs another arena: allocate, use, free, and again.
func testRegions(t *testing.T, tr Transport, world int) {
	sums := exactSums(world, long/5)
	allRanks(t, tr.open(t, world, 0), func(c collective.Comm) error {
		keep, _, err := alloc(c, 100)
		if err != nil {
			return err
		}
		copy(keep, exact(c.Info().Rank, 100))
		for k, n := range []int{1000, 0, long / 20, 1000, long / 5} {
			b, region, err := alloc(c, n)
			if err != nil {
				return err
			}
			if region.Len() != int64(n)*4 {
				return fmt.Errorf("region of %d bytes, want %d", region.Len(), n*4)
			}
			for i, v := range b {
				if v != 0 {
					return fmt.Errorf("new region %d has %g at %d", k, v, i)
				}
			}
			copy(b, exact(c.Info().Rank, n))
			if err := sumInPlace(c, b, "region", k, sums[:n]); err != nil {
				return err
			}
			if err := region.Free(context.Background()); err != nil {
				return err
			}
		}
		return sumInPlace(c, keep, "first region", 9, sums[:100])
	})
}

// A bad argument fails on the rank that passed it and breaks nothing.
func testBadArguments(t *testing.T, tr Transport, world int) {
	allRanks(t, tr.open(t, world, 0), func(c collective.Comm) error {
		f := func(n int) collective.Buf { return collective.Float32s(make([]float32, n)) }
		var meta collective.OpMeta
		works := map[string]collective.Work{
			"no parts":         c.SumShards(nil, 16, meta),
			"fewer shards":     c.SumShards([]collective.Buf{f(1)}, world-1, meta),
			"other lengths":    c.SumShards([]collective.Buf{f(1), f(2), f(3)}, 16, meta),
			"no type":          c.AllReduce(collective.Buf{}, collective.Sum, meta),
			"no reduction":     c.AllReduce(f(1), 0, meta),
			"sum of bytes":     c.AllReduce(collective.Bytes(make([]byte, 1)), collective.Sum, meta),
			"scatter lengths":  c.ReduceScatter(f(world+1), f(1), collective.Sum, meta),
			"gather lengths":   c.AllGather(f(1), f(world+1), meta),
			"root":             c.Broadcast(f(1), collective.Rank(world), meta),
			"receive from":     c.SendRecv(f(0), collective.NoRank, f(1), collective.Rank(-7), meta),
			"memory of others": c.AllReduce(collective.Device(collective.Float32, 4096, 1), collective.Sum, meta),
		}
		for name, w := range works {
			if err := wraps(wait(w), c.Info().Rank); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
		if _, err := c.Alloc(context.Background(), -1); err == nil {
			return errors.New("allocated -1 bytes")
		}
		return wait(c.Barrier(meta))
	})
}

// The last rank issues something else than all others: everyone gets an error
// that names it and what it issued, and another rank, rank 0 if it has come.
func testDesync(t *testing.T, tr Transport, world int) {
	buf := func(n int) collective.Buf { return collective.Float32s(make([]float32, n)) }
	meta := collective.OpMeta{Seq: 5, Bucket: 3, Sig: 0xabc}
	usual := func(c collective.Comm) collective.Work { return c.AllReduce(buf(64), collective.Sum, meta) }
	tests := []struct {
		name  string
		other func(c collective.Comm) collective.Work
		text  string
	}{
		{"kind", func(c collective.Comm) collective.Work { return c.Barrier(meta) }, "barrier"},
		{"length", func(c collective.Comm) collective.Work { return c.AllReduce(buf(63), collective.Sum, meta) }, "63"},
		{"type, same bytes", func(c collective.Comm) collective.Work {
			return c.AllReduce(collective.Float64s(make([]float64, 32)), collective.Sum, meta)
		}, "float64"},
		{"reduction", func(c collective.Comm) collective.Work { return c.AllReduce(buf(64), collective.Max, meta) }, "max"},
		{"step", func(c collective.Comm) collective.Work {
			return c.AllReduce(buf(64), collective.Sum, collective.OpMeta{Seq: 6, Bucket: 3, Sig: 0xabc})
		}, "seq 6"},
		{"bucket", func(c collective.Comm) collective.Work {
			return c.AllReduce(buf(64), collective.Sum, collective.OpMeta{Seq: 5, Bucket: 4, Sig: 0xabc})
		}, "bucket 4"},
		{"plan", func(c collective.Comm) collective.Work {
			return c.AllReduce(buf(64), collective.Sum, collective.OpMeta{Seq: 5, Bucket: 3, Sig: 0xdef})
		}, "def"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			last := collective.Rank(world - 1)
			allRanks(t, tr.open(t, world, 0), func(c collective.Comm) error {
				issue := usual
				if c.Info().Rank == last {
					issue = tt.other
				}
				err := wait(issue(c))
				if e := wraps(err, c.Info().Rank, collective.ErrDesync, collective.ErrAborted); e != nil {
					return e
				}
				for _, part := range []string{fmt.Sprintf("rank %d issued ", last), "allreduce", tt.text} {
					if !strings.Contains(err.Error(), part) {
						return fmt.Errorf("error %q does not say %q", err, part)
					}
				}
				return nil
			})
		})
	}
}

// One rank aborts while all others wait; every pending and later operation
// fails with the cause.
func testAbort(t *testing.T, tr Transport, world int) {
	cause := errors.New("the loss is not a number")
	allRanks(t, tr.open(t, world, 0), func(c collective.Comm) error {
		if err := wait(c.Barrier(collective.OpMeta{})); err != nil {
			return err
		}
		if c.Info().Rank == 0 {
			c.Abort(cause)
			c.Abort(errors.New("a second cause, too late"))
		}
		first, second := c.Barrier(collective.OpMeta{Seq: 1}), c.Barrier(collective.OpMeta{Seq: 2})
		for _, w := range []collective.Work{second, first, c.Barrier(collective.OpMeta{Seq: 3})} {
			err := wait(w)
			if e := wraps(err, c.Info().Rank, collective.ErrAborted); e != nil {
				return e
			}
			var abort *collective.AbortError
			if !errors.As(err, &abort) || abort.By != 0 || abort.Reason != cause.Error() {
				return fmt.Errorf("error %q does not give rank 0's cause", err)
			}
			if c.Info().Rank == 0 && !errors.Is(err, cause) {
				return fmt.Errorf("error %q does not wrap the cause", err)
			}
		}
		if _, err := c.Alloc(context.Background(), 64); !errors.Is(err, collective.ErrAborted) {
			return fmt.Errorf("alloc after abort: %v", err)
		}
		return nil
	})
}

// A rank that never comes ends the others' wait, and the error names it.
func testTransportDeadline(t *testing.T, tr Transport, world int) {
	late := collective.Rank(world - 1)
	allRanks(t, tr.open(t, world, 150*time.Millisecond), func(c collective.Comm) error {
		if c.Info().Rank == late {
			return nil
		}
		err := wait(c.Barrier(collective.OpMeta{}))
		if e := wraps(err, c.Info().Rank, collective.ErrAborted, collective.ErrDeadline); e != nil {
			return e
		}
		if want := fmt.Sprint(late); !strings.Contains(err.Error()[strings.Index(err.Error(), "deadline"):], want) {
			return fmt.Errorf("error %q does not name rank %s", err, want)
		}
		var abort *collective.AbortError
		errors.As(err, &abort)
		if me := c.Info().Rank; len(abort.Missing) != 1 && abort.By == me || len(abort.Missing) > 1 || len(abort.Missing) == 1 && abort.Missing[0] != late {
			return fmt.Errorf("rank %d: error %q by %d has %v missing, want %d", me, err, abort.By, abort.Missing, late)
		}
		return nil
	})
}

// A context that ends stops the wait, not the operation.
func testContextDeadline(t *testing.T, tr Transport, world int) {
	tooEarly := make(chan struct{})
	allRanks(t, tr.open(t, world, 0), func(c collective.Comm) error {
		if c.Info().Rank != 0 {
			<-tooEarly
			return wait(c.Barrier(collective.OpMeta{}))
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
		defer cancel()
		w := c.Barrier(collective.OpMeta{})
		err := w.Wait(ctx)
		done := w.Done()
		close(tooEarly)
		if e := wraps(err, 0, context.DeadlineExceeded); e != nil {
			return e
		}
		if errors.Is(err, collective.ErrAborted) || done {
			return fmt.Errorf("the operation ended with its wait: %v", err)
		}
		return wait(w)
	})
}

// A rank that closes leaves with what it issued complete; who still needs it
// gets an error.
func testLeave(t *testing.T, tr Transport, world int) {
	allRanks(t, tr.open(t, world, 0), func(c collective.Comm) error {
		n := []int64{1}
		sum := c.AllReduce(collective.Int64s(n), collective.Sum, collective.OpMeta{})
		if c.Info().Rank == 0 {
			if err := c.Close(context.Background()); err != nil {
				return err
			}
		}
		if err := wait(sum); err != nil {
			return err
		}
		if n[0] != int64(world) {
			return fmt.Errorf("sum is %d, want %d", n[0], world)
		}
		if c.Info().Rank == 0 {
			return nil
		}
		return wraps(wait(c.Barrier(collective.OpMeta{Seq: 1})), c.Info().Rank, collective.ErrAborted, collective.ErrClosed)
	})
}

func testClose(t *testing.T, tr Transport, world int) {
	allRanks(t, tr.open(t, world, 0), func(c collective.Comm) error {
		region, _, err := alloc(c, 1000)
		if err != nil {
			return err
		}
		w := c.AllReduce(collective.Float32s(region), collective.Sum, collective.OpMeta{})
		for range 2 {
			if err := c.Close(context.Background()); err != nil {
				return err
			}
		}
		if err := wait(w); err != nil {
			return fmt.Errorf("issued before close: %w", err)
		}
		c.Abort(errors.New("too late to matter"))
		return wraps(wait(c.Barrier(collective.OpMeta{})), c.Info().Rank, collective.ErrAborted, collective.ErrClosed)
	})
}
