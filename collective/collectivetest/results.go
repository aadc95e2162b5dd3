package collectivetest

import (
	"fmt"
	"math"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/espalier-ml/espalier/collective"
)

func testInfo(t *testing.T, tr Transport, world int) {
	for r, c := range tr.open(t, world, 0) {
		i := c.Info()
		if i.World != world || i.Rank != collective.Rank(r) || i.Transport == "" {
			t.Errorf("rank %d of %d has info %+v", r, world, i)
		}
	}
}

// Exact sums of all lengths, in a region and elsewhere.
func testExactSums(t *testing.T, tr Transport, world int) {
	sums := exactSums(world, long)
	allRanks(t, tr.open(t, world, 0), func(c collective.Comm) error {
		for k, n := range lengths {
			in, want := exact(c.Info().Rank, n), sums[:n]
			region, _, err := alloc(c, n)
			if err != nil {
				return err
			}
			copy(region, in)
			if err := sumInPlace(c, region, "region", k, want); err != nil {
				return err
			}
			if err := sumInPlace(c, in, "heap", k, want); err != nil {
				return err
			}
		}
		return nil
	})
}

func sumInPlace(c collective.Comm, b []float32, where string, seq int, want []float32) error {
	if err := wait(c.AllReduce(collective.Float32s(b), collective.Sum, collective.OpMeta{Seq: uint64(seq)})); err != nil {
		return err
	}
	return sameBits(fmt.Sprintf("sum of %d in the %s", len(b), where), b, want)
}

// The order of additions is SumTree's, on every rank, for parts of a region
// at any offset as well.
func testOrder(t *testing.T, tr Transport, world int) {
	const n, lo, hi = 9001, 5, 8999
	inputs := make([][]float32, world)
	for r := range inputs {
		inputs[r] = uneven(collective.Rank(r), n)
	}
	want := make([]float32, n)
	collective.SumTree(want, inputs...)
	allRanks(t, tr.open(t, world, 0), func(c collective.Comm) error {
		in := inputs[c.Info().Rank]
		region, _, err := alloc(c, n)
		if err != nil {
			return err
		}
		copy(region, in)
		if err := sumInPlace(c, region[lo:hi], "region", 1, want[lo:hi]); err != nil {
			return err
		}
		if err := sameBits("before the part", region[:lo], in[:lo]); err != nil {
			return err
		}
		if err := sameBits("after the part", region[hi:], in[hi:]); err != nil {
			return err
		}
		return sumInPlace(c, slices.Clone(in), "heap", 2, want)
	})
}

func testOtherTypes(t *testing.T, tr Transport, world int) {
	allRanks(t, tr.open(t, world, 0), func(c collective.Comm) error {
		r := int64(c.Info().Rank)
		for _, n := range []int{1, 5, 70000} {
			ints, floats := make([]int64, n), make([]float64, n)
			for i := range n {
				ints[i], floats[i] = (r+1)<<40+int64(i), float64(r)+float64(i)*(1<<30)
			}
			if err := wait(c.AllReduce(collective.Int64s(ints), collective.Sum, collective.OpMeta{})); err != nil {
				return err
			}
			if err := wait(c.AllReduce(collective.Float64s(floats), collective.Sum, collective.OpMeta{})); err != nil {
				return err
			}
			w := int64(world)
			for i := range n {
				if want := w*(w+1)/2<<40 + w*int64(i); ints[i] != want {
					return fmt.Errorf("int64 sum at %d is %d, want %d", i, ints[i], want)
				}
				if want := float64(w*(w-1)/2) + float64(w*int64(i))*(1<<30); floats[i] != want {
					return fmt.Errorf("float64 sum at %d is %g, want %g", i, floats[i], want)
				}
			}
		}
		return nil
	})
}

func testMaximum(t *testing.T, tr Transport, world int) {
	allRanks(t, tr.open(t, world, 0), func(c collective.Comm) error {
		r, last := c.Info().Rank, collective.Rank(world-1)
		ints := []int64{int64(r), -int64(r), math.MinInt64}
		floats := []float32{float32(r), -float32(r), 1}
		doubles := []float64{float64(r), -float64(r), 1}
		if r == last {
			floats[2], doubles[2] = float32(math.NaN()), math.Inf(1)
		}
		for _, b := range []collective.Buf{collective.Int64s(ints), collective.Float32s(floats), collective.Float64s(doubles)} {
			if err := wait(c.AllReduce(b, collective.Max, collective.OpMeta{})); err != nil {
				return err
			}
		}
		switch {
		case ints[0] != int64(last) || ints[1] != 0 || ints[2] != math.MinInt64:
			return fmt.Errorf("maximum of int64: %v", ints)
		case floats[0] != float32(last) || floats[1] != 0 || floats[2] == floats[2]:
			return fmt.Errorf("maximum of float32: %v", floats)
		case doubles[0] != float64(last) || doubles[1] != 0 || !math.IsInf(doubles[2], 1):
			return fmt.Errorf("maximum of float64: %v", doubles)
		}
		return nil
	})
}

func testReduceScatter(t *testing.T, tr Transport, world int) {
	lengths := []int{0, 1, 17, long / 25}
	inputs, wants := make([][]float32, world), make([][]float32, len(lengths))
	for r := range inputs {
		inputs[r] = uneven(collective.Rank(r), lengths[len(lengths)-1]*world)
	}
	for k, n := range lengths {
		wants[k] = make([]float32, n*world)
		collective.SumTree(wants[k], inputs...)
	}
	allRanks(t, tr.open(t, world, 0), func(c collective.Comm) error {
		r := int(c.Info().Rank)
		for k, n := range lengths {
			want, mine := wants[k][r*n:(r+1)*n], inputs[r][:n*world]
			region, _, err := alloc(c, n*world)
			if err != nil {
				return err
			}
			copy(region, mine)
			heap, apart := slices.Clone(mine), make([]float32, n)
			forms := []struct {
				name    string
				in, out []float32
			}{
				{"heap", heap, apart},
				{"heap, in place", heap, heap[r*n : (r+1)*n]},
				{"region", region, apart},
				{"region, in place", region, region[r*n : (r+1)*n]},
			}
			for _, f := range forms {
				if err := wait(c.ReduceScatter(collective.Float32s(f.in), collective.Float32s(f.out), collective.Sum, collective.OpMeta{})); err != nil {
					return err
				}
				if err := sameBits(f.name, f.out, want); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

func testAllGather(t *testing.T, tr Transport, world int) {
	allRanks(t, tr.open(t, world, 0), func(c collective.Comm) error {
		r := int(c.Info().Rank)
		for _, n := range []int{0, 1, 17, long / 10} {
			want := make([]float32, 0, n*world)
			for k := range world {
				want = append(want, exact(collective.Rank(k), n)...)
			}
			mine := exact(c.Info().Rank, n)
			region, _, err := alloc(c, n*world)
			if err != nil {
				return err
			}
			heap := make([]float32, n*world)
			for _, out := range [][]float32{heap, region} {
				for _, in := range [][]float32{mine, out[r*n : (r+1)*n]} {
					copy(in, mine)
					if err := wait(c.AllGather(collective.Float32s(in), collective.Float32s(out), collective.OpMeta{})); err != nil {
						return err
					}
					if err := sameBits("gathered", out, want); err != nil {
						return err
					}
					clear(out)
				}
			}
		}
		return nil
	})
}

func testBroadcast(t *testing.T, tr Transport, world int) {
	allRanks(t, tr.open(t, world, 0), func(c collective.Comm) error {
		for root := range collective.Rank(world) {
			for _, n := range []int{0, 1, 17, long / 10} {
				want := exact(root, n)
				region, _, err := alloc(c, n)
				if err != nil {
					return err
				}
				for _, b := range [][]float32{make([]float32, n), region} {
					copy(b, exact(c.Info().Rank, n))
					if err := wait(c.Broadcast(collective.Float32s(b), root, collective.OpMeta{})); err != nil {
						return err
					}
					if err := sameBits("broadcast", b, want); err != nil {
						return err
					}
				}
			}
		}
		text := []byte("............")
		if c.Info().Rank == 0 {
			text = []byte("the same one")
		}
		if err := wait(c.Broadcast(collective.Bytes(text), 0, collective.OpMeta{})); err != nil {
			return err
		}
		if string(text) != "the same one" {
			return fmt.Errorf("broadcast of bytes: %q", text)
		}
		return nil
	})
}

// Around the ring with lengths that differ from rank to rank, then from the
// first rank to the last only.
func testSendRecv(t *testing.T, tr Transport, world int) {
	allRanks(t, tr.open(t, world, 0), func(c collective.Comm) error {
		r, w := c.Info().Rank, collective.Rank(world)
		next, prev := (r+1)%w, (r+w-1)%w
		for _, n := range []int{0, 1, 50003} {
			out := exact(r, n*int(r+1))
			in := make([]float32, n*int(prev+1))
			if err := wait(c.SendRecv(collective.Float32s(out), next, collective.Float32s(in), prev, collective.OpMeta{})); err != nil {
				return err
			}
			if err := sameBits("from the rank before", in, exact(prev, n*int(prev+1))); err != nil {
				return err
			}
		}
		send, to, recv, from := collective.Buf{}, collective.NoRank, collective.Buf{}, collective.NoRank
		got := make([]int64, 3)
		if r == 0 {
			send, to = collective.Int64s([]int64{7, 8, 9}), w-1
		}
		if r == w-1 {
			recv, from = collective.Int64s(got), 0
		}
		if err := wait(c.SendRecv(send, to, recv, from, collective.OpMeta{})); err != nil {
			return err
		}
		if r == w-1 && !slices.Equal(got, []int64{7, 8, 9}) {
			return fmt.Errorf("from the first rank: %v", got)
		}
		return nil
	})
}

// No rank leaves a barrier before all have come.
func testBarrier(t *testing.T, tr Transport, world int) {
	var arrived atomic.Int64
	allRanks(t, tr.open(t, world, 0), func(c collective.Comm) error {
		for k := range int64(50) {
			arrived.Add(1)
			if err := wait(c.Barrier(collective.OpMeta{Seq: uint64(k)})); err != nil {
				return err
			}
			if n := arrived.Load(); n < (k+1)*int64(world) {
				return fmt.Errorf("barrier %d passed when %d of %d had arrived", k, n, (k+1)*int64(world))
			}
		}
		return nil
	})
}

// Hundreds of operations of different kinds in flight, waited for backwards.
func testManyInFlight(t *testing.T, tr Transport, world int) {
	const buckets, n = 300, 37
	allRanks(t, tr.open(t, world, 0), func(c collective.Comm) error {
		region, _, err := alloc(c, buckets*n)
		if err != nil {
			return err
		}
		copy(region, exact(c.Info().Rank, buckets*n))
		works, counts := make([]collective.Work, buckets), make([]int64, buckets)
		for b := range buckets {
			meta := collective.OpMeta{Seq: 1, Bucket: int32(b)}
			works[b] = c.AllReduce(collective.Float32s(region[b*n:(b+1)*n]), collective.Sum, meta)
			counts[b] = int64(b)
			c.AllReduce(collective.Int64s(counts[b:b+1]), collective.Sum, meta)
		}
		last := c.Barrier(collective.OpMeta{Seq: 2})
		for b := buckets - 1; b >= 0; b-- {
			if err := wait(works[b]); err != nil {
				return err
			}
			for i := b * n; i < (b+1)*n; i++ {
				if want := exactSum(world, i); region[i] != want {
					return fmt.Errorf("bucket %d element %d is %g, want %g", b, i, region[i], want)
				}
			}
		}
		if err := wait(last); err != nil {
			return err
		}
		for b, got := range counts {
			if !works[b].Done() || got != int64(b*world) {
				return fmt.Errorf("count %d is %d, want %d", b, got, b*world)
			}
		}
		return nil
	})
}
