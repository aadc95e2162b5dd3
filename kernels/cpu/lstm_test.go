package cpu

import (
	"fmt"
	"testing"

	"github.com/espalier-ml/espalier/kernels"
)

func TestLSTMShapes(t *testing.T) {
	for _, c := range []struct{ b, t, h int }{
		{1, 1, 1}, {3, 1, 5}, {2, 6, 7}, {5, 3, 40}, {9, 4, 100}, {20, 3, 20}, {21, 5, 33}, {47, 2, 16}, {2, 3, 270}, {20, 3, 270}, {41, 2, 270},
	} {
		for _, acc := range []bool{false, true} {
			t.Run(fmt.Sprint(c, acc), func(t *testing.T) {
				agree(t, 3e-5, func(b *workbench) []kernels.Op {
					f := &kernels.LSTM{X: b.random("x", c.b, c.t, 4*c.h), W: b.random("w", c.h, 4*c.h), H: b.random("h", c.b, c.t, c.h),
						C: b.random("c", c.b, c.t, c.h), Gates: b.random("gates", c.b, c.t, 4*c.h)}
					return []kernels.Op{f, &kernels.LSTMGrad{W: f.W, H: f.H, C: f.C, Gates: f.Gates, DH: b.random("dh", c.b, c.t, c.h),
						DX: b.random("dx", c.b, c.t, 4*c.h), DW: b.random("dw", c.h, 4*c.h), Acc: acc}}
				})
			})
		}
	}
}
