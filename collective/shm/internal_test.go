package shm

import (
	"fmt"
	"testing"
	"time"

	"github.com/espalier-ml/espalier/collective"
)

// Counters wrap after 2^32 arrivals; a group must not notice.
func TestBarrierNumbersWrap(t *testing.T) {
	const world, rounds = 3, 40
	ctl := controlOf(make([]byte, controlBytes))
	ctl.init(world, collective.Gen{})
	start := ^uint32(0)/world - rounds/2
	ctl.arrivals.Store(start * world)
	errs := make(chan error, world)
	for r := range world {
		ctl.ranks[r].arrived.Store(start)
		go func() {
			b := barrier{ctl: ctl, rank: r, world: world, phase: start, timeout: time.Minute}
			for range rounds {
				if err := b.pass(); err != nil {
					errs <- err
					return
				}
			}
			errs <- nil
		}()
	}
	for range world {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

func TestCompleteSeesThroughPoison(t *testing.T) {
	tests := []struct {
		arrivals, target uint32
		want             bool
	}{
		{5, 6, false}, {6, 6, true}, {7, 6, true},
		{5 + poison, 6, false}, {6 + poison, 6, true}, {7 + poison, 6, true},
		{1<<32 - 1, 2, false}, {3, 1<<32 - 2, true},
		{1<<32 - 1 + poison - 1<<32, 2, false}, {3 + poison, 1<<32 - 2, true},
	}
	for _, tt := range tests {
		if got := complete(tt.arrivals, tt.target); got != tt.want {
			t.Errorf("complete(%#x, %#x) = %v", tt.arrivals, tt.target, got)
		}
	}
}

// The parts of ranks tile the buffer.
func TestShare(t *testing.T) {
	for world := 1; world <= 9; world++ {
		for _, n := range []int{0, 4, 124, 128, 132, 1000, 4096, 40004} {
			next := 0
			for r := range world {
				lo, hi := share(n, world, r)
				if lo != next || hi < lo || hi-lo > (n/world+129)&^127 {
					t.Errorf("share(%d, %d, %d) = [%d, %d)", n, world, r, lo, hi)
				}
				next = hi
			}
			if next != n {
				t.Errorf("%d ranks share %d of %d bytes", world, next, n)
			}
		}
	}
}

// No two arenas come close to each other modulo 2^28.
func TestStride(t *testing.T) {
	const period, near = 1 << 28, 4 * pageSize
	for _, bytes := range []int64{0, 64, 1 << 20, 1<<27 - stagger, 1 << 27, 1<<28 - stagger, 1 << 28, 3 << 28, 1<<28/3 - stagger} {
		for _, world := range []int{1, 2, 3, 8, 64} {
			s := strideFor(bytes, world)
			if s < bytes || s%collective.Align != 0 {
				t.Errorf("stride of %d bytes is %d", bytes, s)
			}
			for k := int64(1); k < int64(world); k++ {
				if at := k * s % period; at < near || at > period-near {
					t.Errorf("%d ranks of %d bytes: arenas %d apart lie at the same address modulo 2^28", world, bytes, k)
				}
			}
		}
	}
}

func TestSignatureText(t *testing.T) {
	s := signature{kind: collective.KindAllReduce, dtype: collective.Float32, op: collective.Sum, in: 7, place: 2<<placeBits | 64, seq: 1, bucket: 3, plan: 0xab}
	want := "allreduce of float32[7] sum, region 2 offset 64 (seq 1 bucket 3 plan 00000000000000ab)"
	if got := fmt.Sprint(&s); got != want {
		t.Errorf("reads %q, want %q", got, want)
	}
	s.shards, s.place = 8, scattered
	want = "allreduce of float32[7] sum, of 8 shards, in regions (seq 1 bucket 3 plan 00000000000000ab)"
	if got := fmt.Sprint(&s); got != want {
		t.Errorf("reads %q, want %q", got, want)
	}
}
