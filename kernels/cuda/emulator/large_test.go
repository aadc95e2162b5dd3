//go:build emulated

package emulator_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/espalier-ml/espalier/kernels"
	"github.com/espalier-ml/espalier/kernels/cuda/emulator"
	"github.com/espalier-ml/espalier/kernels/kernelstest"
	"github.com/espalier-ml/espalier/kernels/philox"
)

// host makes operands of a device from streams of random numbers: the n-th
// operand of two hosts holds the same.
type host struct {
	t    *testing.T
	d    kernels.Device
	made uint64
}

func (h *host) place(x *kernels.Tensor) *kernels.Tensor {
	buf, err := h.d.Alloc(x.Bytes())
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { buf.Close() })
	x.Buf = buf
	h.made++
	return x
}

// f32 makes an operand of numbers in (-1, 1), positive one of (0.5, 1.5).
func (h *host) f32(name string, shape ...int) *kernels.Tensor { return h.fill(name, -1, 2, shape) }

func (h *host) positive(name string, shape ...int) *kernels.Tensor {
	return h.fill(name, 0.5, 1, shape)
}

func (h *host) fill(name string, low, width float32, shape []int) *kernels.Tensor {
	x := h.place(kernels.New(name, kernels.F32, shape...))
	key, values := philox.NewKey(1, "large").With(h.made), make([]float32, x.Len())
	for i := range values {
		values[i] = low + width*philox.Uniform(key.Index(uint64(i))[0])
	}
	if err := h.d.WriteF32(x, values); err != nil {
		h.t.Fatal(err)
	}
	return x
}

func (h *host) index(name string, n int, shape ...int) *kernels.Tensor {
	x := h.place(kernels.New(name, kernels.I32, shape...))
	key, values := philox.NewKey(1, "large").With(h.made), make([]int32, x.Len())
	for i := range values {
		values[i] = int32(philox.Below(key.Index(uint64(i))[0], n))
	}
	if err := h.d.WriteI32(x, values); err != nil {
		h.t.Fatal(err)
	}
	return x
}

// blocks cuts a parameter of 150 × 81 into 4 blocks: three chunks.
func blocks() kernels.Blocks {
	b := kernels.Blocks{Rows: 150, Cols: 81, N: 4}
	for i := range b.Rows {
		b.RowBlock = append(b.RowBlock, int32(i/60))
	}
	for i := range b.Cols {
		b.ColBlock = append(b.ColBlock, int32(i/25))
	}
	return b
}

// large are shapes at which every kernel takes more than one part, chunk, tile
// or turn of its block.
var large = []struct {
	name string
	op   func(h *host) kernels.Op
}{
	{"sums of 5000 rows", func(h *host) kernels.Op {
		return &kernels.SumRows{X: h.f32("x", 5000, 35), Y: h.f32("y", 35), Acc: true}
	}},
	{"batch norm of 4101 pixels", func(h *host) kernels.Op {
		return &kernels.BatchNorm{X: h.positive("x", 3, 1367, 37), Gamma: h.f32("gamma", 37), Beta: h.f32("beta", 37), Residual: h.f32("r", 3, 1367, 37),
			Y: h.f32("y", 3, 1367, 37), Mean: h.f32("mean", 37), Var: h.f32("var", 37), InvStd: h.f32("inv", 37), ReLU: true, Eps: 1e-5}
	}},
	{"batch norm gradient of 4101 pixels", func(h *host) kernels.Op {
		return &kernels.BatchNormGrad{X: h.f32("x", 4101, 37), Y: h.f32("y", 4101, 37), DY: h.f32("dy", 4101, 37), Gamma: h.f32("gamma", 37), Mean: h.f32("mean", 37), InvStd: h.positive("inv", 37),
			DX: h.f32("dx", 4101, 37), DGamma: h.f32("dgamma", 37), DBeta: h.f32("dbeta", 37), DResidual: h.f32("dr", 4101, 37), AccResidual: true, ReLU: true}
	}},
	{"layer norm of rows of 1500", func(h *host) kernels.Op {
		return &kernels.LayerNorm{X: h.positive("x", 3, 1500), Gamma: h.f32("gamma", 1500), Beta: h.f32("beta", 1500), Y: h.f32("y", 3, 1500), Mean: h.f32("mean", 3), InvStd: h.f32("inv", 3), Eps: 1e-5}
	}},
	{"layer norm gradient of 2500 rows", func(h *host) kernels.Op {
		return &kernels.LayerNormGrad{X: h.f32("x", 2500, 33), DY: h.f32("dy", 2500, 33), Gamma: h.f32("gamma", 33), Mean: h.f32("mean", 2500), InvStd: h.positive("inv", 2500),
			DX: h.f32("dx", 2500, 33), DGamma: h.f32("dgamma", 33), DBeta: h.f32("dbeta", 33)}
	}},
	{"cross-entropy of 10,000 classes", func(h *host) kernels.Op {
		return &kernels.SoftmaxXent{Logits: h.f32("z", 3, 10000), Target: h.index("t", 10000, 3), Loss: h.f32("loss", 3), Hit: h.f32("hit", 3), DLogits: h.f32("dz", 3, 10000), Smooth: 0.1}
	}},
	{"gradient of a small table by 3000 indices", func(h *host) kernels.Op {
		return &kernels.GatherGrad{DTable: h.f32("table", 5, 300), Index: h.index("index", 6, 3000), DY: h.f32("dy", 3000, 300), Acc: true}
	}},
	{"product of 3 × 130×70×141", func(h *host) kernels.Op {
		return &kernels.MatMul{A: h.f32("a", 3, 130, 141), B: h.f32("b", 3, 70, 141), C: h.f32("c", 3, 130, 70), TransB: true, Alpha: 0.5, Acc: true}
	}},
	{"convolution weights of 5760 pixels", func(h *host) kernels.Op {
		return &kernels.ConvWeight{X: h.f32("x", 10, 24, 24, 6), DY: h.f32("dy", 10, 24, 24, 34), DW: h.f32("dw", 3, 3, 3, 34), Conv: kernels.Conv{Stride: 1, Pad: 1, Groups: 2}}
	}},
	{"attention over 300", func(h *host) kernels.Op {
		return &kernels.Attention{QKV: h.f32("qkv", 1, 300, 2*3*5), O: h.f32("o", 1, 300, 10), LSE: h.f32("lse", 1, 2, 300), Heads: 2}
	}},
	{"causal attention over 300", func(h *host) kernels.Op {
		return &kernels.Attention{QKV: h.f32("qkv", 1, 300, 2*3*5), O: h.f32("o", 1, 300, 10), LSE: h.f32("lse", 1, 2, 300), Heads: 2, Causal: true}
	}},
	{"transpose of 3 × 70×90", func(h *host) kernels.Op {
		return &kernels.Transpose{X: h.f32("x", 3, 70, 90), Y: h.f32("y", 3, 90, 70), Perm: []int{0, 2, 1}}
	}},
	{"transpose of heads", func(h *host) kernels.Op {
		return &kernels.Transpose{X: h.f32("x", 3, 40, 5, 9), Y: h.f32("y", 3, 5, 40, 9), Perm: []int{0, 2, 1, 3}, Acc: true}
	}},
	{"mean over rows of 3000", func(h *host) kernels.Op {
		return &kernels.Reduce{X: h.f32("x", 4, 3000), Y: h.f32("y", 4), Axis: 1, Mean: true}
	}},
	{"squares of three chunks in four blocks", func(h *host) kernels.Op {
		return &kernels.BlockSquares{W: h.f32("w", 150, 81), Blocks: blocks(), Out: h.f32("out", 4)}
	}},
	{"avagrad with squares of three chunks in four blocks", func(h *host) kernels.Op {
		return &kernels.AvaGrad{W: h.f32("w", 150, 81), G: h.f32("g", 150, 81), M: h.f32("m", 150, 81), V: h.positive("v", 150, 81), Beta1: 0.9, Beta2: 0.99, Eps: 0.1,
			Blocks: blocks(), Rates: h.positive("rates", 4), Corr1: h.positive("c1", 4), Corr2: h.positive("c2", 4), Gamma: h.positive("gamma", 1),
			Next: h.positive("next", 4), Squares: h.f32("squares", 4, 2)}
	}},
}

func TestLargeShapes(t *testing.T) {
	env := &kernels.Env{Seed: 3, Step: 2, Shard: 1, GradScale: 0.25, Rate: 0.1, GradFactor: 0.5, WeightDecay: 1}
	d, ref := open(t, emulator.Options{Threads: 2, Seed: 5}), kernelstest.Reference(t)
	for _, c := range large {
		t.Run(c.name, func(t *testing.T) {
			var outs [2][][]float32
			for i, d := range []kernels.Device{d, ref} {
				op := c.op(&host{t: t, d: d})
				exe, err := d.Compile([]kernels.Op{op})
				if err != nil {
					t.Fatal(err)
				}
				if err := exe.Run(env, nil); err != nil {
					t.Fatal(err)
				}
				exe.Close()
				for _, x := range op.Outputs() {
					v := make([]float32, x.Len())
					if err := d.ReadF32(x, v); err != nil {
						t.Fatal(err)
					}
					outs[i] = append(outs[i], v)
				}
			}
			for i, want := range outs[1] {
				if msg := differ(outs[0][i], want); msg != "" {
					t.Errorf("output %d: %s", i, msg)
				}
			}
		})
	}
}

// differ describes the worst element that is off by more than 2e-5 of itself
// and of the root mean square: a few roundings of sums of thousands of terms.
func differ(got, want []float32) string {
	squares := 0.0
	for _, v := range want {
		squares += float64(v) * float64(v)
	}
	rms, worst, msg := math.Sqrt(squares/float64(len(want))), 1.0, ""
	for i, w := range want {
		off := math.Abs(float64(got[i]-w)) / (2e-5 * (math.Abs(float64(w)) + rms))
		if got[i] != w && !(off <= worst) {
			worst, msg = off, fmt.Sprintf("element %d is %g, want %g (%.3g times the tolerance)", i, got[i], w, off)
		}
	}
	return msg
}
