package cpu

import "github.com/espalier-ml/espalier/kernels"

// attentionGrad forms the weights P of a block of queries again from the
// log-sum-exps (Dao et al., arXiv 2205.14135, appendix B.4): with D = Σ DO·O of
// each query, dV += Pᵀ·DO, dS = P⊙(DO·Vᵀ - D)/√d, dQ = dS·K, dK += dSᵀ·Q.
func (l *lowering) attentionGrad(o *kernels.AttentionGrad) []stage {
	g := attnOf(o.QKV, o.Heads, o.Causal)
	qkv, out, lse, do, dqkv := l.ref(o.QKV), l.ref(o.O), l.ref(o.LSE), l.ref(o.DO), l.ref(o.DQKV)
	if g.d > maxHead {
		return nil
	}
	a := &attnGrad{attn: g, scaled: g.across()}
	a.scaled.alpha = float32(g.scale)
	a.size = a.scaled.packedLen(g.t)
	a.sizeSum = g.t * panels(g.d) * panel
	a.sizeRows = blockQ * panels(g.d) * panel
	scratch := 2*a.size + a.sizeSum + 2*a.sizeRows + 2*blockQ*g.ldS
	return g.stages(l, "attention-grad", scratch, 4*g.t*(2*g.ldQ+2*g.ldO), func(mem []float32, b, h int) {
		at, atO := b*g.t*g.ldQ+h*g.d, b*g.t*g.ldO+h*g.d
		a.head(mem, qkv.f[at:], out.f[atO:], do.f[atO:], dqkv.f[at:], lse.f[(b*g.h+h)*g.t:])
	})
}

type attnGrad struct {
	attn
	scaled                  gemm // scores with the factor 1/√d
	size, sizeSum, sizeRows int  // of packed matrices: [D][T], [T][D], [blockQ][D]
}

// head is the gradient of one head; all slices start at its first element.
func (a *attnGrad) head(mem, q, o, do, dq, lse []float32) {
	g := &a.attn
	k, v := q[g.ldO:], q[2*g.ldO:]
	dk, dv := dq[g.ldO:], dq[2*g.ldO:]
	keys, values, sums := cut(&mem, a.size), cut(&mem, a.size), cut(&mem, a.sizeSum)
	rowsQ, rowsDO, p, ds := cut(&mem, a.sizeRows), cut(&mem, a.sizeRows), cut(&mem, blockQ*g.ldS), mem
	across, along := g.across(), g.along(g.ldQ)
	a.scaled.pack(keys, k, span{0, g.t})
	across.pack(values, v, span{0, g.t})
	along.pack(sums, k, span{0, g.d})
	done := 0 // keys whose gradients have been begun
	for r0 := 0; r0 < g.t; r0 += blockQ {
		r1 := min(r0+blockQ, g.t)
		m, n := r1-r0, g.seen(r1-1)
		g.scores(p, q[r0*g.ldQ:], keys, m, n, g.ldQ)
		g.scores(ds, do[r0*g.ldO:], values, m, n, g.ldO)
		for r := r0; r < r1; r++ {
			seen, end := g.seen(r), panels(n)*panel
			row, drow := p[(r-r0)*g.ldS:][:end], ds[(r-r0)*g.ldS:][:end]
			vexpSub(row[:seen], row, lse[r])
			mean := vdot(do[r*g.ldO:][:g.d], o[r*g.ldO:])
			vsoftmaxGrad(drow[:seen], row, drow, mean, float32(g.scale))
			clear(row[seen:])
			clear(drow[seen:])
		}
		g.weigh(dq[r0*g.ldQ:], ds, sums, m, n, g.ldQ)
		block := gemm{n: g.d, k: m, ldb: g.ldO, alpha: 1}
		block.pack(rowsDO, do[r0*g.ldO:], span{0, g.d})
		block.ldb = g.ldQ
		block.pack(rowsQ, q[r0*g.ldQ:], span{0, g.d})
		g.collect(dv, p, rowsDO, m, done, n)
		g.collect(dk, ds, rowsQ, m, done, n)
		done = n
	}
}

// collect is y += sᵀ·rows for m rows and n columns of s, the first `done` of
// which have been begun before; the others are overwritten.
func (g *attn) collect(y, s, rows []float32, m, done, n int) {
	x := gemmArgs{lda: uintptr(g.ldS * 4), ldc: uintptr(g.ldQ * 4), ldd: uintptr(g.ldQ * 4), k: m}
	for j, step := 0, 0; j < g.d; j += step {
		x.b = &rows[j*m]
		if done > 0 {
			x.a, x.c = &s[0], &y[j]
			x.d = x.c
			step = x.sweep(done, downColumns, g.d-j, m)
		}
		if n > done {
			x.a, x.c, x.d = &s[done], &y[done*g.ldQ+j], nil
			step = x.sweep(n-done, downColumns, g.d-j, m)
		}
	}
}
