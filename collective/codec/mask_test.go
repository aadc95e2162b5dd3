package codec_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"testing"

	"github.com/espalier-ml/espalier/collective"
	"github.com/espalier-ml/espalier/collective/codec"
	"github.com/espalier-ml/espalier/collective/shm"
)

func masks(n int) map[string]*codec.Mask {
	return map[string]*codec.Mask{
		"nothing":     codec.NewMask(n, func(int) bool { return false }),
		"everything":  codec.NewMask(n, func(int) bool { return true }),
		"every third": codec.NewMask(n, func(i int) bool { return i%3 == 1 }),
		"a block":     codec.NewMask(n, func(i int) bool { return i > 60 && i < 500 }),
	}
}

func TestPackAndUnpack(t *testing.T) {
	for _, n := range []int{0, 1, 63, 64, 65, 1000} {
		for name, m := range masks(n) {
			src, want := make([]float32, n), make([]float32, n)
			var kept []float32
			for i := range src {
				src[i] = float32(i + 1)
				if keeps(name, i) {
					want[i] = src[i]
					kept = append(kept, src[i])
				}
			}
			packed := make([]float32, m.Kept())
			m.Pack(packed, src)
			if !slices.Equal(packed, kept) || m.Len() != n {
				t.Errorf("%s of %d: packed %v, want %v", name, n, packed, kept)
			}
			for i := range src {
				src[i] = -1
			}
			m.Unpack(src, packed)
			if !slices.Equal(src, want) {
				t.Errorf("%s of %d: unpacked %v, want %v", name, n, src, want)
			}
		}
	}
}

func keeps(name string, i int) bool {
	switch name {
	case "everything":
		return true
	case "every third":
		return i%3 == 1
	case "a block":
		return i > 60 && i < 500
	}
	return false
}

func TestMasksHaveDigests(t *testing.T) {
	seen := map[collective.Digest]string{}
	for _, n := range []int{1000, 1001} {
		for name, m := range masks(n) {
			if other, dup := seen[m.Digest()]; dup {
				t.Errorf("masks %s of %d and %s have the same digest", name, n, other)
			}
			seen[m.Digest()] = fmt.Sprint(name, " of ", n)
		}
	}
}

// each runs f on all ranks of a group.
func each(t *testing.T, world int, f func(c collective.Comm) error) {
	t.Helper()
	comms, err := shm.NewGroup(world, shm.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for r, c := range comms {
		wg.Go(func() {
			if err := f(c); err != nil {
				t.Errorf("rank %d: %v", r, err)
			}
		})
	}
	wg.Wait()
	for _, c := range comms {
		c.Close(context.Background())
	}
}

// Kept elements have the bits of a dense reduction, the others are 0.
func TestPackedIsDense(t *testing.T) {
	const n, steps = 3001, 3
	ctx := context.Background()
	for name, m := range masks(n) {
		each(t, 3, func(c collective.Comm) error {
			p, err := codec.NewPacked(c, m, nil)
			if err != nil {
				return err
			}
			for step := range uint64(steps) {
				dense, sparse := make([]float32, n), make([]float32, n)
				for i := range dense {
					if keeps(name, i) {
						dense[i] = float32(math.Ldexp(float64(i*7919%1009), int(c.Info().Rank)*11+i%23))
					}
					sparse[i] = dense[i]
				}
				meta := collective.OpMeta{Seq: step}
				work := p.AllReduce(collective.Float32s(sparse), collective.Sum, meta)
				if err := c.AllReduce(collective.Float32s(dense), collective.Sum, meta).Wait(ctx); err != nil {
					return err
				}
				for range 2 { // waiting twice is harmless
					if err := work.Wait(ctx); err != nil {
						return err
					}
				}
				if !work.Done() {
					return errors.New("not done after Wait")
				}
				if !slices.EqualFunc(sparse, dense, func(a, b float32) bool { return math.Float32bits(a) == math.Float32bits(b) }) {
					return fmt.Errorf("%s: packed reduction has other bits than a dense one", name)
				}
			}
			return p.Barrier(collective.OpMeta{}).Wait(ctx) // the rest passes through
		})
	}
}

func TestPackedRefuses(t *testing.T) {
	ctx := context.Background()
	each(t, 2, func(c collective.Comm) error {
		m := codec.NewMask(10, func(i int) bool { return i < 4 })
		if _, err := codec.NewPacked(c, m, make([]float32, 3)); err == nil {
			return errors.New("packs 4 elements into room for 3")
		}
		p, err := codec.NewPacked(c, m, make([]float32, 4))
		if err != nil {
			return err
		}
		v := make([]float32, 10)
		first := p.AllReduce(collective.Float32s(v), collective.Sum, collective.OpMeta{})
		for name, w := range map[string]collective.Work{
			"length":  p.AllReduce(collective.Float32s(v[:9]), collective.Sum, collective.OpMeta{}),
			"type":    p.AllReduce(collective.Int64s(make([]int64, 10)), collective.Sum, collective.OpMeta{}),
			"another": p.AllReduce(collective.Float32s(v), collective.Sum, collective.OpMeta{}),
		} {
			var op *collective.OpError
			if err := w.Wait(ctx); !errors.As(err, &op) || op.Rank != c.Info().Rank {
				return fmt.Errorf("%s: %v", name, err)
			}
		}
		return first.Wait(ctx)
	})
}

// Ranks whose masks differ do not add up unlike things.
func TestDifferentMasks(t *testing.T) {
	each(t, 2, func(c collective.Comm) error {
		m := codec.NewMask(10, func(i int) bool { return i%2 == int(c.Info().Rank) })
		p, err := codec.NewPacked(c, m, nil)
		if err != nil {
			return err
		}
		err = p.AllReduce(collective.Float32s(make([]float32, 10)), collective.Sum, collective.OpMeta{}).Wait(context.Background())
		if !errors.Is(err, collective.ErrDesync) {
			return fmt.Errorf("error %v", err)
		}
		return nil
	})
}

func BenchmarkPack(b *testing.B) {
	const n = 1 << 20
	src := make([]float32, n)
	for _, percent := range []int{1, 10, 50} {
		m := codec.NewMask(n, func(i int) bool { return i*2654435761>>7%100 < percent })
		dst := make([]float32, m.Kept())
		b.Run(fmt.Sprintf("kept=%d%%/pack", percent), func(b *testing.B) {
			b.SetBytes(4 * n)
			for b.Loop() {
				m.Pack(dst, src)
			}
		})
		b.Run(fmt.Sprintf("kept=%d%%/unpack", percent), func(b *testing.B) {
			b.SetBytes(4 * n)
			for b.Loop() {
				m.Unpack(src, dst)
			}
		})
	}
}
