package collective

import (
	"fmt"
	"math"
	"slices"
	"testing"
)

// The tree written out, as strings, is easier to check than its bits.
func TestTreeShape(t *testing.T) {
	tests := []struct {
		n    int
		want string
	}{
		{1, "0"},
		{2, "(0+1)"},
		{3, "((0+1)+2)"},
		{4, "((0+1)+(2+3))"},
		{5, "(((0+1)+(2+3))+4)"},
		{7, "(((0+1)+(2+3))+((4+5)+6))"},
		{8, "(((0+1)+(2+3))+((4+5)+(6+7)))"},
	}
	var show func(lo, hi int) string
	show = func(lo, hi int) string {
		if hi-lo == 1 {
			return fmt.Sprint(lo)
		}
		p := lo + TreeSplit(hi-lo)
		return "(" + show(lo, p) + "+" + show(p, hi) + ")"
	}
	for _, tt := range tests {
		if got := show(0, tt.n); got != tt.want {
			t.Errorf("tree of %d leaves is %s, want %s", tt.n, got, tt.want)
		}
	}
}

func TestSumTreeFollowsTheTree(t *testing.T) {
	const big = 1 << 24 // big + 1 rounds to big
	srcs := [][]float32{{big}, {1}, {1}, {1}, {big}}
	dst := []float32{0}
	SumTree(dst, srcs...)
	if want := float32(big) + 2 + big; dst[0] != want { // ((big+1)+(1+1))+big
		t.Errorf("sum is %g, want %g", dst[0], want)
	}
	ints := []int64{0}
	SumTree(ints, []int64{math.MaxInt64 - 3}, []int64{1}, []int64{2})
	if ints[0] != math.MaxInt64 {
		t.Errorf("sum of integers is %d, want %d", ints[0], int64(math.MaxInt64))
	}
}

func TestAccumulatorIsSumTree(t *testing.T) {
	const n = 37
	for shards := 1; shards <= 17; shards++ {
		dst, want := make([]float32, n), make([]float32, n)
		srcs := make([][]float32, shards)
		for s := range srcs {
			srcs[s] = uneven(n, uint32(s+1))
		}
		SumTree(want, srcs...)
		acc := NewAccumulator([][]float32{dst}, []Part{{0, shards}})
		for step := range 2 { // the second step starts with what the first left
			for s := range shards {
				copy(acc.Buf(), srcs[s])
				acc.Merge(20, n)
				acc.Merge(0, 20)
				if acc.Last() && !sameBits(dst, want) {
					t.Errorf("%d shards, step %d: %v, want %v", shards, step, dst, want)
				}
				acc.Next()
			}
		}
	}
}

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

func sameBits(a, b []float32) bool {
	return slices.EqualFunc(a, b, func(x, y float32) bool { return math.Float32bits(x) == math.Float32bits(y) })
}
