package collective

import (
	"fmt"
	"testing"
)

func TestParts(t *testing.T) {
	tests := []struct {
		shards, world int
		want          string // by rank
		even          bool
	}{
		{4, 1, "[{0 4}]", true},
		{4, 2, "[{0 2}] [{2 4}]", true},
		{4, 3, "[{0 1}] [{1 2}] [{2 4}]", true},
		{8, 3, "[{0 2}] [{2 4} {4 5}] [{5 6} {6 8}]", false},
		{8, 5, "[{0 1}] [{1 2} {2 3}] [{3 4}] [{4 6}] [{6 8}]", false},
		{8, 6, "[{0 1}] [{1 2}] [{2 4}] [{4 5}] [{5 6}] [{6 8}]", false}, // one each, but not the tree over 6
		{8, 7, "[{0 1}] [{1 2}] [{2 3}] [{3 4}] [{4 5}] [{5 6}] [{6 8}]", true},
		{8, 8, "[{0 1}] [{1 2}] [{2 3}] [{3 4}] [{4 5}] [{5 6}] [{6 7}] [{7 8}]", true},
		{3, 3, "[{0 1}] [{1 2}] [{2 3}]", true},
		{6, 2, "[{0 2} {2 3}] [{3 4} {4 6}]", false},
	}
	for _, tt := range tests {
		d, err := Divide(tt.shards, tt.world)
		if err != nil {
			t.Errorf("%d shards on %d ranks: %v", tt.shards, tt.world, err)
			continue
		}
		got := ""
		for r := range tt.world {
			got += fmt.Sprint(Parts(tt.shards, tt.world, Rank(r)), " ")
		}
		if got != tt.want+" " || d.Even != tt.even {
			t.Errorf("%d shards on %d ranks: %s, even %t, want %s, %t", tt.shards, tt.world, got, d.Even, tt.want, tt.even)
		}
	}
}

func TestPartsThatAreNone(t *testing.T) {
	for _, tt := range []struct {
		shards, world int
		rank          Rank
	}{{2, 4, 0}, {4, 2, 2}, {4, 2, -1}, {0, 1, 0}, {4, 0, 0}, {maxShards + 1, 1, 0}} {
		if p := Parts(tt.shards, tt.world, tt.rank); p != nil {
			t.Errorf("Parts(%d, %d, %d) = %v", tt.shards, tt.world, tt.rank, p)
		}
	}
}

// All shards are there, once, in the order of ranks, in as many pieces as the
// bound allows; and parts are as large as they can be.
func TestPartsTile(t *testing.T) {
	for shards := 1; shards <= 70; shards++ {
		for world := 1; world <= shards; world++ {
			d, err := Divide(shards, world)
			if err != nil {
				t.Fatal(err)
			}
			next, leaves := 0, 0
			for r, parts := range d.Of {
				if next != r*shards/world {
					t.Errorf("%d shards on %d ranks: rank %d begins with shard %d", shards, world, r, next)
				}
				for _, p := range parts {
					if p.Lo != next || p.Shards() < 1 {
						t.Errorf("%d shards on %d ranks: rank %d has %v after shard %d", shards, world, r, p, next)
					}
					next = p.Hi
				}
				leaves += len(parts)
			}
			if next != shards || d.Tree.Leaves != leaves || d.Most > MaxParts {
				t.Errorf("%d shards on %d ranks: %v", shards, world, d)
			}
		}
	}
}

// The most parts that there can be.
func TestMostParts(t *testing.T) {
	worst := 0
	for world := 1; world < 200; world++ {
		d, err := Divide(maxShards, world)
		if err != nil {
			t.Fatal(err)
		}
		worst = max(worst, d.Most)
	}
	if worst > MaxParts || worst < 15 {
		t.Errorf("%d parts of %d shards, want at most %d", worst, maxShards, MaxParts)
	}
}

// Ranks add their own shards to parts, then the parts are added: the same
// bits for every number of ranks.
func TestSameBitsForEveryWorld(t *testing.T) {
	const n = 37
	for _, shards := range []int{1, 2, 6, 8, 16} {
		srcs := make([][]float32, shards)
		for s := range srcs {
			srcs[s] = uneven(n, uint32(s+1))
		}
		want := make([]float32, n)
		SumTree(want, srcs...)
		for world := 1; world <= shards; world++ {
			d, err := Divide(shards, world)
			if err != nil {
				t.Fatal(err)
			}
			var leaves [][]float32
			for r := range world {
				leaves = append(leaves, accumulate(t, Parts(shards, world, Rank(r)), srcs)...)
			}
			got := make([]float32, n)
			sumAlong(d.Tree, got, leaves)
			if !sameBits(got, want) {
				t.Errorf("%d shards on %d ranks: other bits than one rank's", shards, world)
			}
		}
	}
}

// accumulate adds a rank's shards, over two steps.
func accumulate(t *testing.T, parts []Part, srcs [][]float32) [][]float32 {
	n := len(srcs[0])
	sums := make([][]float32, len(parts))
	for i := range sums {
		sums[i] = make([]float32, n)
	}
	acc := NewAccumulator(sums, parts)
	for range 2 {
		for k := range acc.Shards() {
			if s := parts[0].Lo + k; acc.Shard() != s || acc.Last() != (k == acc.Shards()-1) {
				t.Errorf("parts %v: shard %d, last %t, want %d", parts, acc.Shard(), acc.Last(), s)
			}
			copy(acc.Buf(), srcs[acc.Shard()])
			acc.Merge(20, n)
			acc.Merge(0, 20)
			acc.Next()
		}
	}
	return sums
}

func sumAlong(t *Tree, dst []float32, leaves [][]float32) {
	if t.Left == nil {
		copy(dst, leaves[0])
		return
	}
	right := make([]float32, len(dst))
	sumAlong(t.Left, dst, leaves[:t.Left.Leaves])
	sumAlong(t.Right, right, leaves[t.Left.Leaves:])
	for i := range dst {
		dst[i] += right[i]
	}
}

func TestSumShardsChecksArguments(t *testing.T) {
	f := func(n int) Buf { return Float32s(make([]float32, n)) }
	tests := []struct {
		name   string
		info   Info
		parts  []Buf
		shards int
		ok     bool
	}{
		{"one part", Info{World: 2}, []Buf{f(3)}, 4, true},
		{"two parts", Info{World: 3, Rank: 1}, []Buf{f(3), f(3)}, 8, true},
		{"no part", Info{World: 2}, nil, 4, false},
		{"a part too many", Info{World: 2}, []Buf{f(3), f(3)}, 4, false},
		{"other lengths", Info{World: 3, Rank: 1}, []Buf{f(3), f(4)}, 8, false},
		{"other types", Info{World: 3, Rank: 1}, []Buf{f(3), Int64s(make([]int64, 3))}, 8, false},
		{"fewer shards than ranks", Info{World: 3}, []Buf{f(3)}, 2, false},
		{"no shards", Info{World: 1}, []Buf{f(3)}, 0, false},
		{"too many shards", Info{World: 1}, []Buf{f(3)}, maxShards + 1, false},
	}
	for _, tt := range tests {
		var d Divisions
		call, err := d.Call(tt.info, tt.parts, tt.shards, OpMeta{})
		if (err == nil) != tt.ok {
			t.Errorf("%s: %v", tt.name, err)
		}
		if err == nil && (len(tt.parts) > 1) != (call.Shards() == tt.shards) {
			t.Errorf("%s: a call of %d shards, leaves %d", tt.name, call.Shards(), call.Leaves())
		}
	}
}
