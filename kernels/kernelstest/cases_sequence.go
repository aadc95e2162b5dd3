package kernelstest

import (
	"fmt"

	"github.com/espalier-ml/espalier/kernels"
)

func (s *suite) attention() {
	for _, c := range []struct{ b, t, h, d int }{{1, 1, 1, 1}, {2, 5, 3, 4}, {2, 16, 2, 16}, {1, 33, 2, 32}, {3, 7, 1, 5}, {1, 65, 2, 64}, {9, 9, 2, 8}} {
		for _, causal := range both {
			name := fmt.Sprintf("%s heads of %d", dims(c.b, c.t, c.h), c.d) + flags("causal", causal)
			s.one("attention "+name, func(m *Memory) kernels.Op { return attention(m, c.b, c.t, c.h, c.d, causal) })
			s.add("attentiongrad "+name, func(m *Memory) []kernels.Op {
				f := attention(m, c.b, c.t, c.h, c.d, causal)
				return []kernels.Op{f, attentionGrad(m, f)}
			})
		}
	}
	s.one("attention with large scores", func(m *Memory) kernels.Op {
		o := attention(m, 2, 9, 2, 8, true)
		o.QKV = m.Spread("large qkv", 0, 8, 2, 9, 48)
		return o
	})
}

func attention(m *Memory, b, t, h, d int, causal bool) *kernels.Attention {
	return &kernels.Attention{QKV: m.Random("qkv", b, t, 3*h*d), O: m.Out("o", b, t, h*d), LSE: m.Out("lse", b, h, t), Heads: h, Causal: causal}
}

// attentionGrad is the gradient of f.
func attentionGrad(m *Memory, f *kernels.Attention) *kernels.AttentionGrad {
	return &kernels.AttentionGrad{QKV: f.QKV, O: f.O, LSE: f.LSE, DO: m.Random("do", f.O.Shape...), DQKV: m.Out("dqkv", f.QKV.Shape...),
		Heads: f.Heads, Causal: f.Causal}
}

func (s *suite) lstm() {
	for _, z := range [][3]int{{1, 1, 1}, {2, 5, 3}, {3, 1, 16}, {2, 7, 32}, {9, 4, 8}, {2, 3, 100}} {
		s.one("lstm "+dims(z[:]...), func(m *Memory) kernels.Op { return lstm(m, z[0], z[1], z[2]) })
		for _, acc := range both {
			s.add("lstmgrad "+dims(z[:]...)+flags("acc", acc), func(m *Memory) []kernels.Op {
				f := lstm(m, z[0], z[1], z[2])
				return []kernels.Op{f, lstmGrad(m, f, acc)}
			})
		}
	}
}

func lstm(m *Memory, b, t, h int) *kernels.LSTM {
	return &kernels.LSTM{X: m.Random("x", b, t, 4*h), W: m.Spread("w", 0, 0.5, h, 4*h), H: m.Out("h", b, t, h), C: m.Out("c", b, t, h), Gates: m.Out("gates", b, t, 4*h)}
}

// lstmGrad is the gradient of f.
func lstmGrad(m *Memory, f *kernels.LSTM, acc bool) *kernels.LSTMGrad {
	return &kernels.LSTMGrad{W: f.W, H: f.H, C: f.C, Gates: f.Gates, DH: m.Random("dh", f.H.Shape...), DX: m.Out("dx", f.X.Shape...),
		DW: m.Sum(acc, "dw", f.W.Shape...), Acc: acc}
}
