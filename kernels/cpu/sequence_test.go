package cpu

import (
	"testing"

	"github.com/espalier-ml/espalier/kernels"
)

// The ops of a transformer block run interleaved, sequence by sequence: only
// the packing of weights stands outside.
func TestTransformerBlockRunsBySequence(t *testing.T) {
	needAVX2(t)
	d, err := New(Options{Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	const b, s, w = 8, 40, 32
	f := func(name string, shape ...int) *kernels.Tensor { return kernels.New(name, kernels.F32, shape...) }
	norm := func(x, y *kernels.Tensor) kernels.Op {
		return &kernels.LayerNorm{X: x, Y: y, Gamma: f("gamma", w), Beta: f("beta", w), Mean: f("mean", b, s), InvStd: f("std", b, s), Eps: 1e-5}
	}
	x, y, qkv, o, up, down := f("x", b, s, w), f("y", b, s, w), f("qkv", b, s, 3*w), f("o", b, s, w), f("up", b, s, 4*w), f("down", b, s, w)
	ops := []kernels.Op{
		norm(x, y),
		&kernels.MatMul{A: y, B: f("wqkv", w, 3*w), C: qkv, Bias: f("bias", 3*w)},
		&kernels.Attention{QKV: qkv, O: o, LSE: f("lse", b, 2, s), Heads: 2, Causal: true},
		&kernels.MatMul{A: o, B: f("wo", w, w), C: down},
		&kernels.Binary{A: x, B: down, Y: x, Acc: false, Fn: kernels.Add},
		norm(x, y),
		&kernels.MatMul{A: y, B: f("w1", w, 4*w), C: up, Bias: f("bias", 4*w), Act: kernels.GELU, Pre: f("pre", b, s, 4*w)},
		&kernels.MatMul{A: up, B: f("w2", 4*w, w), C: down},
	}
	_, phases, _, err := d.schedule(ops)
	if err != nil {
		t.Fatal(err)
	}
	in := map[int]bool{} // ops in regions
	for _, p := range phases {
		for _, st := range p.region {
			in[st.op] = true
		}
		for _, st := range p.side {
			if out := ops[st.op].Outputs(); overlap(st.writes, out) {
				t.Errorf("op %d %T: stage %s stands between regions", st.op, ops[st.op], st.name)
			}
		}
	}
	if len(in) != len(ops) {
		t.Errorf("%d of %d ops are interleaved", len(in), len(ops))
	}
}
