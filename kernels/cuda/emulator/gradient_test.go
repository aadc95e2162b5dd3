//go:build emulated

package emulator_test

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/espalier-ml/espalier/collective"
	"github.com/espalier-ml/espalier/kernels/cuda"
	"github.com/espalier-ml/espalier/kernels/cuda/emulator"
	"github.com/espalier-ml/espalier/kernels/philox"
)

// random returns numbers of very different size, so that the order of their
// sum shows in its bits.
func random(stream uint64, n int) []float32 {
	key := philox.NewKey(1, "gradients").With(stream)
	x := make([]float32, n)
	for i := range x {
		w := key.Index(uint64(i))
		x[i] = (philox.Uniform(w[0]) - 0.5) * float32(math.Pow(2, float64(w[1]%20)))
	}
	return x
}

// tree_sum has the bits of the tree that every transport adds along.
func TestTreeSum(t *testing.T) {
	for _, shards := range []int{1, 2, 3, 4, 5, 6, 7, 8, 11, 16, 29} {
		t.Run(fmt.Sprint(shards), func(t *testing.T) {
			const n = 517
			b := newBench(t, emulator.Options{})
			var all [][]float32
			var places []uint64
			for s := range shards {
				all = append(all, random(uint64(s), n))
				p, _ := put(b, all[s])
				places = append(places, p.Bits)
			}
			table, _ := put(b, places)
			dst, got := put(b, make([]float32, n))
			b.must("tree_sum", 2, 256, dst, table, number(shards), number(n))
			want := make([]float32, n)
			collective.SumTree(want, all...)
			if !slices.Equal(got, want) {
				t.Errorf("sums %v…, want %v…", got[:3], want[:3])
			}
		})
	}
}

// Packing and unpacking by mask, for masks that choose none, all, few and many.
func TestMaskPacks(t *testing.T) {
	for _, n := range []int{1, 31, 256, 1024, 1025, 5000, 40 * 1024} {
		for _, every := range []int{0, 1, 2, 37} { // every so many-th entry, about; 0: none
			t.Run(fmt.Sprintf("%d by %d", n, every), func(t *testing.T) { maskPacks(t, n, every) })
		}
	}
	// More chunks than mask_offsets takes at a time.
	t.Run("offsets of 3000 chunks", func(t *testing.T) {
		b := newBench(t, emulator.Options{Seed: 3})
		counts := make([]int32, 3001)
		want := make([]int32, 3001)
		for i := range 3000 {
			counts[i] = int32(i * i % 1025)
			want[i+1] = want[i] + counts[i]
		}
		p, got := put(b, counts)
		b.must("mask_offsets", 1, 1024, p, number(3000))
		if !slices.Equal(got, want) {
			t.Errorf("offsets differ: the last is %d, want %d", got[3000], want[3000])
		}
	})
}

func maskPacks(t *testing.T, n, every int) {
	b := newBench(t, emulator.Options{Seed: uint32(n)})
	x, mask := random(1, n), make([]float32, n)
	var packed []float32
	spread := make([]float32, n) // what unpacking gives
	for i, w := range random(2, n) {
		if every > 0 && math.Float32bits(w)%uint32(every) == 0 {
			mask[i], spread[i] = 1, x[i]
			packed = append(packed, x[i])
		}
	}
	chunks := (n + 1023) / 1024
	px, _ := put(b, x)
	pm, _ := put(b, mask)
	offsets, at := put(b, make([]int32, chunks+1))
	p, got := put(b, make([]float32, n+1))
	back, gotBack := put(b, slices.Repeat([]float32{7}, n+1))
	b.must("mask_count", chunks, 256, offsets, pm, number(n))
	b.must("mask_offsets", 1, 1024, offsets, number(chunks))
	b.must("mask_pack", chunks, 256, p, px, pm, offsets, number(n))
	b.must("mask_unpack", chunks, 256, back, p, pm, offsets, number(n))
	if k := int(at[chunks]); k != len(packed) || !slices.Equal(got[:k], packed) || got[k] != 0 {
		t.Errorf("%d entries %v…, want %d", k, got[:min(k, 3)], len(packed))
	}
	if !slices.Equal(gotBack[:n], spread) || gotBack[n] != 7 {
		t.Error("unpacking gives other entries")
	}
}

// bias_activation with an activation of each kind, with and without bias.
func TestBiasActivation(t *testing.T) {
	const rows, cols = 7, 33
	b := newBench(t, emulator.Options{})
	x, bias := random(1, rows*cols), random(2, cols)
	relu := func(v float32) float32 { return max(v, 0) }
	for _, c := range []struct {
		name string
		bias bool
		act  int
		of   func(v float32) float32
	}{
		{"bias alone", true, 0, func(v float32) float32 { return v }},
		{"bias and relu", true, 1, relu},
		{"relu alone", false, 1, relu},
	} {
		y, got := put(b, x)
		pre, before := put(b, make([]float32, len(x)))
		p := cuda.Arg{Size: 8}
		if c.bias {
			p, _ = put(b, bias)
		}
		b.must("bias_activation", 2, 64, y, pre, p, number(cols), number(c.act), number(len(x)))
		for i, v := range x {
			if c.bias {
				v += bias[i%cols]
			}
			if before[i] != v || got[i] != c.of(v) {
				t.Fatalf("%s: element %d is %g of %g, want %g of %g", c.name, i, got[i], before[i], c.of(v), v)
			}
		}
	}
}
