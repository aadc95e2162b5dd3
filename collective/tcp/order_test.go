package tcp_test

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/espalier-ml/espalier/collective"
	"github.com/espalier-ml/espalier/collective/shm"
	"github.com/espalier-ml/espalier/collective/tcp"
)

// uneven are numbers so different in size that any other order of additions
// gives other bits.
func uneven(n int, seed uint32) []float32 {
	v := make([]float32, n)
	x := seed * 2654435761
	for i := range v {
		x ^= x << 13
		x ^= x >> 17
		x ^= x << 5
		v[i] = float32(int32(x)) * float32(math.Ldexp(1, int(x%40)-50))
	}
	return v
}

func sameBits(a, b []float32) bool {
	return slices.EqualFunc(a, b, func(x, y float32) bool { return math.Float32bits(x) == math.Float32bits(y) })
}

// lengths in elements around the limit of short operations, parts, segments
// and more segments than there are slots.
var lengths = []int{1, 8192, 8193, 40000, 300007}

// reduce sums the same uneven inputs on every rank of a group.
func reduce(t *testing.T, comms []collective.Comm) [][][]float32 {
	t.Helper()
	sums := make([][][]float32, len(comms))
	each(comms, func(c collective.Comm) {
		r := c.Info().Rank
		for _, n := range lengths {
			v := uneven(n, uint32(r)+1)
			if err := wait(c.AllReduce(collective.Float32s(v), collective.Sum, collective.OpMeta{})); err != nil {
				t.Errorf("rank %d: %v", r, err)
			}
			sums[r] = append(sums[r], v)
		}
	})
	return sums
}

// Strict sums are those of SumTree and of shared memory, whatever the
// segments and sockets.
func TestStrictOrder(t *testing.T) {
	for _, world := range []int{2, 3, 5, 8} {
		wants := make([][]float32, len(lengths))
		for k, n := range lengths {
			inputs := make([][]float32, world)
			for r := range inputs {
				inputs[r] = uneven(n, uint32(r)+1)
			}
			wants[k] = make([]float32, n)
			collective.SumTree(wants[k], inputs...)
		}
		neighbours, err := shm.NewGroup(world, shm.Options{})
		if err != nil {
			t.Fatal(err)
		}
		groups := map[string][]collective.Comm{
			"shm":              neighbours,
			"tcp":              group(t, world, tcp.Options{}, nil),
			"three sockets":    group(t, world, tcp.Options{Segment: 16 << 10, Sockets: 3}, nil),
			"nothing is short": group(t, world, tcp.Options{Short: 4}, nil),
		}
		for name, comms := range groups {
			for r, sums := range reduce(t, comms) {
				for k := range sums {
					if !sameBits(sums[k], wants[k]) {
						t.Errorf("world %d, %s, rank %d: sum of %d has other bits", world, name, r, lengths[k])
					}
				}
			}
		}
		each(neighbours, func(c collective.Comm) { c.Close(t.Context()) })
	}
}

// Parts of shards, whatever the segments and sockets, short and long, in both
// orders: what cannot go around the ring goes directly.
func TestSumsOverShards(t *testing.T) {
	const shards, world = 16, 3
	for _, n := range []int{10, 3000, 100001} {
		inputs := make([][]float32, shards)
		for s := range inputs {
			inputs[s] = uneven(n, uint32(s)+1)
		}
		want := make([]float32, n)
		collective.SumTree(want, inputs...)
		for name, o := range map[string]tcp.Options{
			"defaults":         {},
			"three sockets":    {Segment: 16 << 10, Sockets: 3},
			"nothing is short": {Segment: 4 << 10, Short: 4},
			"fast":             {Order: tcp.Fast, Short: 4},
		} {
			each(group(t, world, o, nil), func(c collective.Comm) {
				var bufs []collective.Buf
				for _, p := range collective.Parts(shards, world, c.Info().Rank) {
					sum := make([]float32, n)
					collective.SumTree(sum, inputs[p.Lo:p.Hi]...)
					bufs = append(bufs, collective.Float32s(sum))
				}
				if err := wait(c.SumShards(bufs, shards, collective.OpMeta{})); err != nil {
					t.Errorf("%d values, %s, rank %d: %v", n, name, c.Info().Rank, err)
				} else if !sameBits(bufs[0].Float32s(), want) {
					t.Errorf("%d values, %s, rank %d: other bits than one rank's", n, name, c.Info().Rank)
				}
			})
		}
	}
}

// Sums around the ring have the same bits on all ranks, and the exact value
// where that is exact.
func TestFastOrder(t *testing.T) {
	for _, world := range []int{2, 3, 8} {
		t.Run(fmt.Sprint("world=", world), func(t *testing.T) {
			comms := group(t, world, tcp.Options{Order: tcp.Fast, Segment: 16 << 10, Sockets: 2}, nil)
			sums := reduce(t, comms)
			for r := range sums {
				for k := range sums[r] {
					if !sameBits(sums[r][k], sums[0][k]) {
						t.Errorf("rank %d: sum of %d has other bits than rank 0's", r, lengths[k])
					}
				}
			}
			each(comms, func(c collective.Comm) {
				v := make([]float64, 50001)
				for i := range v {
					v[i] = float64(i) + float64(c.Info().Rank)
				}
				if err := wait(c.AllReduce(collective.Float64s(v), collective.Sum, collective.OpMeta{})); err != nil {
					t.Error(err)
				}
				for i := range v {
					if want := float64(world*i + world*(world-1)/2); v[i] != want {
						t.Errorf("element %d is %g, want %g", i, v[i], want)
						return
					}
				}
			})
		})
	}
}
