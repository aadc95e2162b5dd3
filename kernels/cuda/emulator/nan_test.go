//go:build emulated

package emulator_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/espalier-ml/espalier/kernels"
	"github.com/espalier-ml/espalier/kernels/cuda/emulator"
	"github.com/espalier-ml/espalier/kernels/kernelstest"
)

// A number that went wrong must stay visible: where the reference gives NaN,
// the kernels do.
func TestNaNStaysNaN(t *testing.T) {
	nan := float32(math.NaN())
	one := kernels.Blocks{Rows: 1, Cols: 5, N: 1}
	bad := func(h *host, name string, shape ...int) *kernels.Tensor {
		x := h.f32(name, shape...)
		values := make([]float32, x.Len())
		values[3] = nan
		if err := h.d.WriteF32(x, values); err != nil {
			h.t.Fatal(err)
		}
		return x
	}
	for name, op := range map[string]func(h *host) kernels.Op{
		"sgd": func(h *host) kernels.Op {
			return &kernels.SGD{W: h.f32("w", 5), G: bad(h, "g", 5), Blocks: one, Rates: h.positive("r", 1)}
		},
		"adabound in a box": func(h *host) kernels.Op {
			return &kernels.AdaBound{W: h.f32("w", 5), G: bad(h, "g", 5), M: h.f32("m", 5), V: h.positive("v", 5), Max: h.positive("max", 5), Beta2: 0.9, Box: [2]float32{-1, 1},
				Blocks: one, Rates: h.positive("r", 1), Beta1: h.f32("b", 1), Scale: h.positive("s", 1), Lower: h.positive("lo", 1), Upper: h.positive("hi", 1)}
		},
		"batch norm": func(h *host) kernels.Op {
			return &kernels.BatchNorm{X: bad(h, "x", 5, 3), Gamma: h.f32("g", 3), Beta: h.f32("b", 3), Y: h.f32("y", 5, 3), Mean: h.f32("mean", 3), Var: h.f32("var", 3), InvStd: h.f32("inv", 3), ReLU: true, Eps: 1e-5}
		},
		"softmax": func(h *host) kernels.Op { return &kernels.Softmax{X: bad(h, "x", 2, 5), Y: h.f32("y", 2, 5)} },
		"relu":    func(h *host) kernels.Op { return &kernels.Unary{X: bad(h, "x", 5), Y: h.f32("y", 5), Fn: kernels.ReLU} },
		"attention": func(h *host) kernels.Op {
			return &kernels.Attention{QKV: bad(h, "qkv", 1, 2, 6), O: h.f32("o", 1, 2, 2), LSE: h.f32("lse", 1, 1, 2), Heads: 1}
		},
	} {
		t.Run(name, func(t *testing.T) {
			var seen [2]string // which numbers of which outputs are NaN
			count := 0
			for i, d := range []kernels.Device{open(t, emulator.Options{}), kernelstest.Reference(t)} {
				op := op(&host{t: t, d: d})
				exe, err := d.Compile([]kernels.Op{op})
				if err != nil {
					t.Fatal(err)
				}
				defer exe.Close()
				if err := exe.Run(&kernels.Env{Rate: 0.1, GradFactor: 1}, nil); err != nil {
					t.Fatal(err)
				}
				for k, x := range op.Outputs() {
					v := make([]float32, x.Len())
					if err := d.ReadF32(x, v); err != nil {
						t.Fatal(err)
					}
					for j := range v {
						if v[j] != v[j] {
							seen[i] += fmt.Sprintf("%d.%d ", k, j)
							count++
						}
					}
				}
			}
			if count == 0 || seen[0] != seen[1] {
				t.Errorf("NaN at output.element %s, want %s", seen[0], seen[1])
			}
		})
	}
}
