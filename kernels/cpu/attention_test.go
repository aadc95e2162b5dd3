package cpu

import (
	"fmt"
	"testing"

	"github.com/espalier-ml/espalier/kernels"
)

func TestAttentionShapes(t *testing.T) {
	for _, c := range []struct{ b, t, h, d int }{
		{1, 1, 1, 1}, {2, 47, 2, 16}, {5, 49, 1, 20}, {1, 100, 3, 17}, {4, 97, 2, 32}, {1, 300, 1, 64}, {1, 530, 1, 8}, {1, 20, 1, 128}, {1, 9, 2, 257},
	} {
		for _, causal := range []bool{false, true} {
			t.Run(fmt.Sprint(c, causal), func(t *testing.T) {
				agree(t, 3e-5, func(b *workbench) []kernels.Op {
					f := &kernels.Attention{QKV: b.random("qkv", c.b, c.t, 3*c.h*c.d), O: b.random("o", c.b, c.t, c.h*c.d),
						LSE: b.random("lse", c.b, c.h, c.t), Heads: c.h, Causal: causal}
					return []kernels.Op{f, &kernels.AttentionGrad{QKV: f.QKV, O: f.O, LSE: f.LSE, DO: b.random("do", f.O.Shape...),
						DQKV: b.random("dqkv", f.QKV.Shape...), Heads: c.h, Causal: causal}}
				})
			})
		}
	}
}
