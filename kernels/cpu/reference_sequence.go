package cpu

import (
	"math"

	"github.com/espalier-ml/espalier/kernels"
)

// heads is the geometry of attention: qkv is [b,t,3,h,d], o is [b,t,h,d].
type heads struct {
	b, t, h, d int
	causal     bool
	scale      float64 // 1/√d
}

func headsOf(qkv *kernels.Tensor, h int, causal bool) heads {
	d := qkv.Dim(2) / 3 / h
	return heads{qkv.Dim(0), qkv.Dim(1), h, d, causal, 1 / math.Sqrt(float64(d))}
}

// row returns query (0), key (1) or value (2) of head p (b·h + head) at time t.
func (g *heads) row(qkv []float32, which, p, t int) []float32 {
	b, h := p/g.h, p%g.h
	return qkv[(((b*g.t+t)*3+which)*g.h+h)*g.d:][:g.d]
}

// out returns head p's row at time t of a tensor laid out like O.
func (g *heads) out(o []float32, p, t int) []float32 {
	b, h := p/g.h, p%g.h
	return o[((b*g.t+t)*g.h+h)*g.d:][:g.d]
}

// seen is how many keys the query at time t sees.
func (g *heads) seen(t int) int {
	if g.causal {
		return t + 1
	}
	return g.t
}

// refAttention computes one query of one head at a time.
func (l *lowering) refAttention(o *kernels.Attention) []stage {
	g := headsOf(o.QKV, o.Heads, o.Causal)
	qkv, out, lse := l.ref(o.QKV), l.ref(o.O), l.ref(o.LSE)
	l.localDoubles(g.t + g.d)
	query := func(w *worker, p, t int) {
		mem, n := w.doubles(g.t+g.d), g.seen(t)
		score, sum := mem[:n], mem[g.t:]
		top, total := math.Inf(-1), 0.0
		for s := range score {
			score[s] = g.scale * dot(g.row(qkv.f, 0, p, t), g.row(qkv.f, 1, p, s))
			top = max(top, score[s])
		}
		for s := range score {
			score[s] = math.Exp(score[s] - top)
			total += score[s]
		}
		for s := range score {
			addScaled(sum, score[s]/total, g.row(qkv.f, 2, p, s))
		}
		putRow(g.out(out.f, p, t), sum, false)
		lse.f[p*g.t+t] = float32(top + math.Log(total))
	}
	return []stage{rows("attention", g.b*g.h, func(w *worker, lo, hi int) {
		for p := lo; p < hi; p++ {
			for t := range g.t {
				query(w, p, t)
			}
		}
	})}
}

// refAttentionGrad: with P = exp(scores - LSE) and D = Σ DO·O of the query,
// dV = Pᵀ·DO, dS = P⊙(DO·Vᵀ - D), dQ = dS·K/√d, dK = dSᵀ·Q/√d (Dao et al.,
// arXiv 2205.14135, appendix B.4).
func (l *lowering) refAttentionGrad(o *kernels.AttentionGrad) []stage {
	g := headsOf(o.QKV, o.Heads, o.Causal)
	qkv, out, lse, do, dqkv := l.ref(o.QKV), l.ref(o.O), l.ref(o.LSE), l.ref(o.DO), l.ref(o.DQKV)
	n := g.t * g.d
	l.localDoubles(3 * n)
	query := func(sum []float64, p, t int) {
		q, dO := g.row(qkv.f, 0, p, t), g.out(do.f, p, t)
		d := dot(dO, g.out(out.f, p, t))
		for s := range g.seen(t) {
			k := g.row(qkv.f, 1, p, s)
			prob := math.Exp(g.scale*dot(q, k) - float64(lse.f[p*g.t+t]))
			ds := g.scale * prob * (dot(dO, g.row(qkv.f, 2, p, s)) - d)
			addScaled(sum[t*g.d:], ds, k)
			addScaled(sum[n+s*g.d:], ds, q)
			addScaled(sum[2*n+s*g.d:], prob, dO)
		}
	}
	return []stage{rows("attention-grad", g.b*g.h, func(w *worker, lo, hi int) {
		for p := lo; p < hi; p++ {
			sum := w.doubles(3 * n) // of queries, keys and values
			for t := range g.t {
				query(sum, p, t)
			}
			for i := range 3 * g.t {
				putRow(g.row(dqkv.f, i/g.t, p, i%g.t), sum[i*g.d:], false)
			}
		}
	})}
}

// refLSTM runs the sequences of a batch side by side.
func (l *lowering) refLSTM(o *kernels.LSTM) []stage {
	x, wt, h, c, gates := l.ref(o.X), l.ref(o.W), l.ref(o.H), l.ref(o.C), l.ref(o.Gates)
	T, H := o.H.Dim(1), o.H.Dim(2)
	l.localDoubles(4 * H)
	cell := func(sum []float64, at int, first bool) { // at is b·T + t
		addScaled(sum, 1, x.f[at*4*H:][:4*H])
		for j := 0; j < H && !first; j++ {
			addScaled(sum, float64(h.f[(at-1)*H+j]), wt.f[j*4*H:][:4*H])
		}
		for j := range H {
			in, forget, cand, out := sigmoid(sum[j]), sigmoid(sum[H+j]), math.Tanh(sum[2*H+j]), sigmoid(sum[3*H+j])
			for i, v := range [4]float64{in, forget, cand, out} {
				gates.f[(at*4+i)*H+j] = float32(v)
			}
			state := in * cand
			if !first {
				state += forget * float64(c.f[(at-1)*H+j])
			}
			c.f[at*H+j] = float32(state)
			h.f[at*H+j] = float32(out * math.Tanh(state))
		}
	}
	return []stage{rows("lstm", o.H.Dim(0), func(w *worker, lo, hi int) {
		for at := lo * T; at < hi*T; at++ {
			cell(w.doubles(4*H), at, at%T == 0)
		}
	})}
}

// refLSTMGrad walks each sequence backwards, then forms the weight gradient
// DW = Σ H(t-1)ᵀ·DX(t).
func (l *lowering) refLSTMGrad(o *kernels.LSTMGrad) []stage {
	wt, h, c, gates := l.ref(o.W), l.ref(o.H), l.ref(o.C), l.ref(o.Gates)
	dh, dx, dw := l.ref(o.DH), l.ref(o.DX), l.ref(o.DW)
	B, T, H := o.H.Dim(0), o.H.Dim(1), o.H.Dim(2)
	l.localDoubles(4 * H)
	// cell turns the gradient dH of a state and dC carried from the next
	// cell into the gradient of the gates' inputs, and dC for the one before.
	cell := func(dC []float64, at int, j int, dH float64, first bool) {
		gate := func(i int) float64 { return float64(gates.f[(at*4+i)*H+j]) }
		in, forget, cand, out := gate(0), gate(1), gate(2), gate(3)
		th, before := math.Tanh(float64(c.f[at*H+j])), 0.0
		if !first {
			before = float64(c.f[(at-1)*H+j])
		}
		d := dC[j] + dH*out*(1-th*th)
		dC[j] = d * forget
		for i, v := range [4]float64{d * cand * in * (1 - in), d * before * forget * (1 - forget),
			d * in * (1 - cand*cand), dH * th * out * (1 - out)} {
			dx.f[(at*4+i)*H+j] = float32(v)
		}
	}
	states := rows("lstm-grad", B, func(w *worker, lo, hi int) {
		for b := lo; b < hi; b++ {
			dC := w.doubles(H)
			for t := T - 1; t >= 0; t-- {
				for j, at := 0, b*T+t; j < H; j++ {
					dH := float64(dh.f[at*H+j])
					if t < T-1 {
						dH += dot(dx.f[(at+1)*4*H:][:4*H], wt.f[j*4*H:])
					}
					cell(dC, at, j, dH, t == 0)
				}
			}
		}
	})
	weights := rows("lstm-weight", H, func(w *worker, lo, hi int) {
		for j := lo; j < hi; j++ {
			sum := w.doubles(4 * H)
			for at := range B * T {
				if at%T > 0 {
					addScaled(sum, float64(h.f[(at-1)*H+j]), dx.f[at*4*H:][:4*H])
				}
			}
			putRow(dw.f[j*4*H:][:4*H], sum, o.Acc)
		}
	})
	return []stage{states, weights}
}
