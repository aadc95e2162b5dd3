package cpu

import "github.com/espalier-ml/espalier/kernels"

// Attention runs head by head: keys and values are packed into panels in
// thread-private memory, then blocks of queries meet them. A block's scores,
// softmax and weighted sums stay in the second-level cache; nothing of size
// T² exists. Causal attention leaves out the panels of keys that no query of
// the block sees.

const (
	blockQ  = 48     // queries of a block: eight tiles of six
	maxHead = blockK // largest size of a head: panels of one block
	// fewSequences is the size of a batch below which heads are shared out.
	fewSequences = 4
)

// attn is the geometry of attention for these kernels.
type attn struct {
	heads
	ldQ, ldO int // elements from one time to the next in QKV and in O
	ldS      int // in a block of scores: off powers of two
}

func attnOf(qkv *kernels.Tensor, h int, causal bool) attn {
	g := attn{heads: headsOf(qkv, h, causal)}
	g.ldQ, g.ldO = 3*g.h*g.d, g.h*g.d
	g.ldS = panels(g.t)*panel + panel
	return g
}

// across is the geometry of products with a whole [T, D] matrix of one head:
// its rows as columns (scores), or summed over (weighted sums).
func (g *attn) across() gemm { return gemm{n: g.t, k: g.d, ldb: g.ldQ, transB: true, alpha: 1} }
func (g *attn) along(ld int) gemm {
	return gemm{n: g.d, k: g.t, ldb: ld, alpha: 1}
}

// stages cuts attention by sequences, so that it runs in line with its
// neighbours, or, where those are few, by heads.
func (g *attn) stages(l *lowering, name string, scratch, bytes int, head func(w []float32, b, h int)) []stage {
	l.local(scratch)
	if g.b >= fewSequences {
		return []stage{{name: name, images: g.b, bytes: bytes, batch: func(w *worker, _, lo, hi int) {
			for p := lo * g.h; p < hi*g.h; p++ {
				head(w.floats(scratch), p/g.h, p%g.h)
			}
		}}}
	}
	return []stage{{name: name, parts: g.b * g.h, run: func(w *worker, p int) {
		head(w.floats(scratch), p/g.h, p%g.h)
	}}}
}

// cut takes n floats off the front of scratch memory.
func cut(scratch *[]float32, n int) []float32 {
	f := (*scratch)[:n:n]
	*scratch = (*scratch)[n:]
	return f
}

func (l *lowering) attention(o *kernels.Attention) []stage {
	g := attnOf(o.QKV, o.Heads, o.Causal)
	if g.d > maxHead {
		return nil
	}
	qkv, out, lse := l.ref(o.QKV), l.ref(o.O), l.ref(o.LSE)
	keys, values := g.across(), g.along(g.ldQ)
	keys.alpha = float32(g.scale)
	sizeK, sizeV := keys.packedLen(g.t), values.packedLen(g.d)
	scratch := sizeK + sizeV + blockQ*g.ldS
	return g.stages(l, "attention", scratch, 4*g.t*(g.ldQ+g.ldO), func(mem []float32, b, h int) {
		q, y := qkv.f[b*g.t*g.ldQ+h*g.d:], out.f[b*g.t*g.ldO+h*g.d:]
		k, v, s := cut(&mem, sizeK), cut(&mem, sizeV), mem
		keys.pack(k, q[g.ldO:], span{0, g.t})
		values.pack(v, q[2*g.ldO:], span{0, g.d})
		for r0 := 0; r0 < g.t; r0 += blockQ {
			r1 := min(r0+blockQ, g.t)
			g.scores(s, q[r0*g.ldQ:], k, r1-r0, g.seen(r1-1), g.ldQ)
			g.softmax(s, lse.f[(b*g.h+h)*g.t:], r0, r1)
			g.weigh(y[r0*g.ldO:], s, v, r1-r0, g.seen(r1-1), g.ldO)
			for r := r0; r < r1; r++ {
				sum := s[(r-r0)*g.ldS+g.ldS-1]
				vscale(y[r*g.ldO:][:g.d], y[r*g.ldO:], 1/sum)
			}
		}
	})
}

// scores is s = q·kᵀ for m queries and n keys, rows of q ld apart.
func (g *attn) scores(s, q, keys []float32, m, n, ld int) {
	x := gemmArgs{lda: uintptr(ld * 4), ldc: uintptr(g.ldS * 4), k: g.d}
	for j, end := 0, panels(n)*panel; j < end; {
		x.a, x.b, x.c = &q[0], &keys[j*g.d], &s[j]
		j += x.sweep(m, alongRows, end-j, g.d)
	}
}

// softmax turns rows of scores into e^(s-max), zero up to the end of the
// block's last panel. It leaves the sum of a row in its last element, which
// no panel reaches, and the log-sum-exp in lse.
func (g *attn) softmax(s, lse []float32, r0, r1 int) {
	end := panels(g.seen(r1-1)) * panel
	var sums, logs [blockQ]float32
	for r := r0; r < r1; r++ {
		row, n := s[(r-r0)*g.ldS:][:g.ldS], g.seen(r)
		lse[r] = vmax(row[:n])
		sum := vexpSub(row[:n], row, lse[r])
		clear(row[n:end])
		row[g.ldS-1], sums[r-r0] = sum, sum
	}
	vlog(logs[:r1-r0], sums[:])
	for i, v := range logs[:r1-r0] {
		lse[r0+i] += v
	}
}

// weigh is y = s·v for m rows of n weights, rows of y ld apart.
func (g *attn) weigh(y, s, values []float32, m, n, ld int) {
	v := g.along(0)
	kc := v.kBlock()
	for k0 := 0; k0 < n; k0 += kc {
		length := min(kc, g.t-k0) // of the block as packed
		x := gemmArgs{lda: uintptr(g.ldS * 4), ldc: uintptr(ld * 4), ldd: uintptr(ld * 4), k: min(kc, n-k0)}
		for j := 0; j < g.d; {
			x.a, x.b, x.c, x.d = &s[k0], &values[k0*panels(g.d)*panel+j*length], &y[j], nil
			if k0 > 0 {
				x.d = x.c
			}
			j += x.sweep(m, alongRows, g.d-j, length)
		}
	}
}
