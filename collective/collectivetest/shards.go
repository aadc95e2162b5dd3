package collectivetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/espalier-ml/espalier/collective"
)

// shardSums are the partial sums of a rank over each of its parts.
func shardSums(d *collective.Division, rank collective.Rank, inputs [][]float32) [][]float32 {
	var sums [][]float32
	for _, p := range d.Of[rank] {
		sum := make([]float32, len(inputs[0]))
		collective.SumTree(sum, inputs[p.Lo:p.Hi]...)
		sums = append(sums, sum)
	}
	return sums
}

// Any number of ranks gives the bits of one that adds all shards, for parts
// in a region at offsets that differ from rank to rank, and elsewhere.
func testShards(t *testing.T, tr Transport, world int) {
	for _, shards := range []int{6, 8, 16} {
		if shards < world {
			continue
		}
		d, err := collective.Divide(shards, world)
		if err != nil {
			t.Fatal(err)
		}
		inputs := make([][]float32, shards)
		for s := range inputs {
			inputs[s] = uneven(collective.Rank(s), long/8)
		}
		want := make([]float32, len(inputs[0]))
		collective.SumTree(want, inputs...)
		allRanks(t, tr.open(t, world, 0), func(c collective.Comm) error {
			for _, n := range []int{0, 1, 17, 1024, 4099, long / 8} {
				if err := sumShards(c, d, inputs, want, n); err != nil {
					return err
				}
			}
			return nil
		})
	}
}

// sumShards sums n elements of each shard, wherever parts may lie.
func sumShards(c collective.Comm, d *collective.Division, inputs [][]float32, want []float32, n int) error {
	rank := c.Info().Rank
	sums := shardSums(d, rank, inputs)
	shift := 5 // the same on all ranks, where it is a sum over ranks
	if !d.Even {
		shift += int(rank) % 3
	}
	region, handle, err := alloc(c, d.Most*(n+8))
	if err != nil {
		return err
	}
	bufs := make([]collective.Buf, len(sums))
	for _, where := range []string{"region", "heap"} {
		for i, sum := range sums {
			mem := sum[:n]
			if where == "region" {
				at := i*(n+8) + shift
				mem = region[at : at+n]
				copy(mem, sum)
			}
			bufs[i] = collective.Float32s(mem)
		}
		if err := wait(c.SumShards(bufs, d.Shards, collective.OpMeta{Seq: uint64(n)})); err != nil {
			return refusal(err)
		}
		what := fmt.Sprintf("%d values of %d shards in the %s", n, d.Shards, where)
		if err := sameBits(what, bufs[0].Float32s(), want[:n]); err != nil {
			return err
		}
	}
	return handle.Free(context.Background())
}

// The last rank counts other shards than the rest. No world divides 17 or 33
// evenly, so that both are sums over shards and not over ranks.
func testDesyncShards(t *testing.T, tr Transport, world int) {
	sum := func(c collective.Comm, shards int) error {
		bufs := make([]collective.Buf, len(collective.Parts(shards, world, c.Info().Rank)))
		for i := range bufs {
			bufs[i] = collective.Float32s(make([]float32, 64))
		}
		return wait(c.SumShards(bufs, shards, collective.OpMeta{}))
	}
	allRanks(t, tr.open(t, world, 0), func(c collective.Comm) error {
		if err := sum(c, 17); err != nil {
			return refusal(err)
		}
		shards := 17
		if int(c.Info().Rank) == world-1 {
			shards = 33
		}
		err := sum(c, shards)
		if e := wraps(err, c.Info().Rank, collective.ErrDesync, collective.ErrAborted); e != nil {
			return e
		}
		for _, part := range []string{"of 17 shards", "of 33 shards"} {
			if !strings.Contains(err.Error(), part) {
				return fmt.Errorf("error %q does not say %q", err, part)
			}
		}
		return nil
	})
}

// refusal lets a transport say that it has no such sum.
func refusal(err error) error {
	if errors.Is(err, collective.ErrUnsupported) && !errors.Is(err, collective.ErrAborted) {
		return nil
	}
	return err
}
