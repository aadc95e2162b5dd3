package fold

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/espalier-ml/espalier/collective"
	"github.com/espalier-ml/espalier/kernels/vec"
)

// uneven are numbers of very different sizes: any other order of additions
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

func leaves(world, n int) (values [][]float32) {
	for r := range world {
		values = append(values, uneven(n, uint32(r+1)))
	}
	return values
}

// Lengths around blocks.
var lengths = []int{0, 1, 7, blockBytes/4 - 1, blockBytes / 4, 2*blockBytes/4 + 3}

func TestIntoIsSumTree(t *testing.T) {
	for world := 1; world <= 9; world++ {
		f := New(world)
		for _, n := range lengths {
			values := leaves(world, n)
			want, got := make([]float32, n), make([]float32, n)
			collective.SumTree(want, values...)
			for r, v := range values {
				f.Leaf(r, vec.Bytes(v))
			}
			f.Into(vec.Bytes(got), collective.Float32, collective.Sum)
			if !bytes.Equal(vec.Bytes(got), vec.Bytes(want)) {
				t.Errorf("%d values of %d ranks: other bits", n, world)
			}
			f.Into(vec.Bytes(values[world-1]), collective.Float32, collective.Sum)
			if !bytes.Equal(vec.Bytes(values[world-1]), vec.Bytes(want)) {
				t.Errorf("%d values of %d ranks into the last leaf: other bits", n, world)
			}
		}
	}
}

func TestShareReachesEveryLeaf(t *testing.T) {
	for world := 1; world <= 9; world++ {
		f := New(world)
		for _, n := range lengths {
			values := leaves(world, n)
			want := make([]float32, n)
			collective.SumTree(want, values...)
			for r, v := range values {
				f.Leaf(r, vec.Bytes(v))
			}
			f.Share(collective.Float32, collective.Sum)
			for r, v := range values {
				if !bytes.Equal(vec.Bytes(v), vec.Bytes(want)) {
					t.Errorf("%d values of %d ranks: other bits on rank %d", n, world, r)
				}
			}
		}
	}
}

// Parts of any world give the bits of all shards; and a folder goes from one
// tree to the next and back.
func TestDivisions(t *testing.T) {
	const shards, n = 16, 1500
	values := leaves(shards, n)
	want := make([]float32, n)
	collective.SumTree(want, values...)
	for world := 1; world <= shards; world++ {
		d, err := collective.Divide(shards, world)
		if err != nil {
			t.Fatal(err)
		}
		f := New(world)
		f.Follow(d)
		var dsts [][]byte
		leaf := 0
		for _, parts := range d.Of {
			for i, p := range parts {
				sum := make([]float32, n)
				collective.SumTree(sum, values[p.Lo:p.Hi]...)
				f.Leaf(leaf, vec.Bytes(sum))
				if leaf++; i == 0 {
					dsts = append(dsts, vec.Bytes(sum))
				}
			}
		}
		f.ShareTo(dsts, collective.Float32, collective.Sum)
		for r, got := range dsts {
			if !bytes.Equal(got, vec.Bytes(want)) {
				t.Errorf("%d ranks: other bits on rank %d", world, r)
			}
		}
		f.Follow(nil)
		for r := range world {
			f.Leaf(r, vec.Bytes([]int64{int64(r)}))
		}
		count := []int64{0}
		f.Into(vec.Bytes(count), collective.Int64, collective.Max)
		if count[0] != int64(world-1) {
			t.Errorf("%d ranks: maximum %d", world, count[0])
		}
	}
}

// Deep trees as well.
func TestAnyWorld(t *testing.T) {
	for world := 1; world <= 64; world++ {
		f := New(world)
		for r := range world {
			f.Leaf(r, vec.Bytes([]int64{1}))
		}
		got := []int64{0}
		f.Into(vec.Bytes(got), collective.Int64, collective.Sum)
		if got[0] != int64(world) {
			t.Errorf("%d ranks add up to %d", world, got[0])
		}
	}
}

func TestTypesAndReductions(t *testing.T) {
	nan := math.NaN()
	tests := []struct {
		t         collective.DType
		op        collective.Op
		a, b, sum []byte
	}{
		{collective.Float32, collective.Sum, vec.Bytes([]float32{1, 2}), vec.Bytes([]float32{3, 4}), vec.Bytes([]float32{4, 6})},
		{collective.Float32, collective.Max, vec.Bytes([]float32{1, float32(nan)}), vec.Bytes([]float32{3, 4}), vec.Bytes([]float32{3, float32(nan)})},
		{collective.Float64, collective.Sum, vec.Bytes([]float64{1, 2}), vec.Bytes([]float64{3, 4}), vec.Bytes([]float64{4, 6})},
		{collective.Float64, collective.Max, vec.Bytes([]float64{1, nan}), vec.Bytes([]float64{3, 4}), vec.Bytes([]float64{3, nan})},
		{collective.Int64, collective.Sum, vec.Bytes([]int64{math.MaxInt64, 2}), vec.Bytes([]int64{1, 4}), vec.Bytes([]int64{math.MinInt64, 6})},
		{collective.Int64, collective.Max, vec.Bytes([]int64{1, -2}), vec.Bytes([]int64{3, -4}), vec.Bytes([]int64{3, -2})},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprint(tt.op, " of ", tt.t), func(t *testing.T) {
			got := slices.Clone(tt.a)
			Pair(got, got, tt.b, tt.t, tt.op)
			f := New(2)
			f.Leaf(0, tt.a)
			f.Leaf(1, tt.b)
			f.Share(tt.t, tt.op)
			for what, v := range map[string][]byte{"pair": got, "leaf 0": tt.a, "leaf 1": tt.b} {
				if !bytes.Equal(v, tt.sum) {
					t.Errorf("%s: %x, want %x", what, v, tt.sum)
				}
			}
		})
	}
}
