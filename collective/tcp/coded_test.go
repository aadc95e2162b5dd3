package tcp_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/espalier-ml/espalier/collective"
	"github.com/espalier-ml/espalier/collective/codec"
	"github.com/espalier-ml/espalier/collective/tcp"
)

// The result is that of a codec by hand: contributions rounded, added along
// the tree, rounded; equal on all ranks.
func TestCodedIsRoundedTwice(t *testing.T) {
	for _, code := range []codec.Codec{codec.FP16, codec.BF16} {
		for _, world := range []int{2, 3, 5} {
			const n = 100003
			round := func(v []float32) {
				b := make([]byte, len(v)*code.Width())
				code.Encode(b, v)
				if err := code.Decode(v, b); err != nil {
					t.Fatal(err)
				}
			}
			inputs, want := make([][]float32, world), make([]float32, n)
			for r := range inputs {
				inputs[r] = make([]float32, n)
				for i := range inputs[r] {
					inputs[r][i] = float32((i*31+r*17)%1001)/7 - 50
				}
				round(inputs[r])
			}
			collective.SumTree(want, inputs...)
			round(want)
			comms := group(t, world, tcp.Options{Order: tcp.Fast, Segment: 16 << 10, Sockets: 2}, nil)
			each(comms, func(c collective.Comm) {
				r := int(c.Info().Rank)
				v := make([]float32, n)
				for i := range v {
					v[i] = float32((i*31+r*17)%1001)/7 - 50
				}
				half := c.(*tcp.Comm).Coded(code)
				for range 2 {
					v := append([]float32(nil), v...)
					if err := wait(half.AllReduce(collective.Float32s(v), collective.Sum, collective.OpMeta{})); err != nil {
						t.Errorf("rank %d: %v", r, err)
					}
					if !sameBits(v, want) {
						t.Errorf("%s on %d ranks: rank %d has other bits than by hand", code.Name(), world, r)
					}
				}
				count := []int64{1} // what is no float32 sum passes through
				if err := wait(half.AllReduce(collective.Int64s(count), collective.Sum, collective.OpMeta{})); err != nil || count[0] != int64(world) {
					t.Errorf("count %d, %v", count[0], err)
				}
			})
		}
	}
}

func TestStrictRefusesRounding(t *testing.T) {
	comms := group(t, 2, tcp.Options{}, nil)
	each(comms, func(c collective.Comm) {
		half := c.(*tcp.Comm).Coded(codec.BF16)
		err := wait(half.AllReduce(collective.Float32s(make([]float32, 10)), collective.Sum, collective.OpMeta{}))
		if !errors.Is(err, collective.ErrUnsupported) || !strings.Contains(err.Error(), "bf16 in strict order") {
			t.Errorf("error %v", err)
		}
		if err := wait(half.Barrier(collective.OpMeta{})); err != nil { // nothing is broken
			t.Error(err)
		}
	})
}

// A rank that encodes while another does not is out of step.
func TestCodecsDiffer(t *testing.T) {
	comms := group(t, 2, tcp.Options{Order: tcp.Fast}, nil)
	each(comms, func(c collective.Comm) {
		view := c
		if c.Info().Rank == 1 {
			view = c.(*tcp.Comm).Coded(codec.FP16)
		}
		err := wait(view.AllReduce(collective.Float32s(make([]float32, 100000)), collective.Sum, collective.OpMeta{}))
		if !errors.Is(err, collective.ErrDesync) || !strings.Contains(err.Error(), `rank 1 issued allreduce of float32[100000] sum as "fp16"`) {
			t.Errorf("error %v", err)
		}
	})
}
