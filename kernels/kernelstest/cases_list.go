package kernelstest

import (
	"fmt"

	"github.com/espalier-ml/espalier/kernels"
)

// lists adds steps of small networks: chains that a backend may fuse or
// overlap, forward and backward, with marks between.
func (s *suite) lists() {
	for _, n := range []int{1, 5, 9, 70} {
		s.list(fmt.Sprintf("residual block of %d images", n), func(m *Memory) []kernels.Op { return residualBlock(m, n) })
	}
	s.list("transformer block", transformerBlock)
	s.list("memory used again", reuse)
}

var same = kernels.Conv{Stride: 1, Pad: 1, Groups: 1}

// residualBlock is y = relu(bn(conv(x)) + x), global pooling, a classifier
// and its loss, all gradients and one optimizer step.
func residualBlock(m *Memory, n int) []kernels.Op {
	const c, classes = 16, 10
	x, w := m.Random("x", n, 6, 6, c), m.Spread("w", 0, 0.1, 3, 3, c, c)
	conv := &kernels.Conv2D{X: x, W: w, Y: m.Out("conv", n, 6, 6, c), Conv: same}
	bn := batchNorm(m, []int{n, 6, 6, c}, true, false)
	bn.X, bn.Residual = conv.Y, x
	pool := &kernels.GlobalPool{X: bn.Y, Y: m.Out("pooled", n, c)}
	fc := &kernels.MatMul{A: pool.Y, B: m.Random("fc", c, classes), C: m.Out("logits", n, classes), Bias: m.Random("bias", classes)}
	loss := xent(m, fc.C, 0)

	dfc := &kernels.MatMul{A: pool.Y, B: loss.DLogits, C: m.Out("dfc", c, classes), TransA: true}
	dbias := &kernels.SumRows{X: loss.DLogits, Y: m.Out("dbias", classes)}
	dpool := &kernels.MatMul{A: loss.DLogits, B: fc.B, C: m.Out("dpool", n, c), TransB: true}
	dy := &kernels.GlobalPoolGrad{DY: dpool.C, DX: m.Out("dblock", n, 6, 6, c)}
	dbn := batchNormGrad(m, bn, false)
	dbn.DY = dy.DX
	dw := &kernels.ConvWeight{X: x, DY: dbn.DX, DW: m.Out("dw", 3, 3, c, c), Conv: same}
	dx := &kernels.ConvInput{DY: dbn.DX, W: w, DX: dbn.DResidual, Conv: same, Acc: true}
	sgd := &kernels.SGD{W: m.Random("parameter", 3, 3, c, c), G: dw.DW, Blocks: kernels.Blocks{Rows: 9 * c, Cols: c, N: 1}, Rates: m.Positive("rates", 1)}
	return []kernels.Op{conv, bn, pool, fc, loss, m.Mark(loss.Loss, loss.Hit), dfc, dbias, m.Mark(dfc.C, dbias.Y), dpool, dy, dbn,
		m.Mark(dbn.DGamma, dbn.DBeta), dw, m.Mark(dw.DW), dx, sgd, m.Mark(dx.DX, sgd.W)}
}

// transformerBlock is y = x + attention(norm(x)·W), then norm and a gated
// layer, with gradients through the attention.
func transformerBlock(m *Memory) []kernels.Op {
	const b, t, h, d = 3, 8, 2, 8
	const e = h * d
	norm := layerNorm(m, []int{b, t, e}, false)
	qkv := &kernels.MatMul{A: norm.Y, B: m.Spread("wqkv", 0, 0.2, e, 3*e), C: m.Out("qkv in", b, t, 3*e)}
	att := attention(m, b, t, h, d, true)
	att.QKV = qkv.C
	out := &kernels.Binary{A: norm.X, B: att.O, Y: m.Out("sum", b, t, e), Fn: kernels.Add}
	up := &kernels.MatMul{A: out.Y, B: m.Spread("up", 0, 0.2, e, 4*e), C: m.Out("hidden", b, t, 4*e), Bias: m.Random("ub", 4*e), Act: kernels.GELU, Pre: m.Out("pre", b, t, 4*e)}
	drop := &kernels.Dropout{X: up.C, Y: m.Out("dropped", b, t, 4*e), P: 0.25, ID: 9}

	undrop := &kernels.Dropout{X: m.Random("dh", b, t, 4*e), Y: m.Out("undropped", b, t, 4*e), P: 0.25, ID: 9}
	gelu := &kernels.UnaryGrad{X: up.Pre, DY: undrop.Y, DX: undrop.Y, Fn: kernels.GELU}
	dup := &kernels.MatMul{A: out.Y, B: gelu.DX, C: m.Out("dup", e, 4*e), TransA: true}
	dsum := &kernels.MatMul{A: gelu.DX, B: up.B, C: m.Out("dsum", b, t, e), TransB: true}
	datt := attentionGrad(m, att)
	datt.DO = dsum.C
	dqkv := &kernels.MatMul{A: norm.Y, B: datt.DQKV, C: m.Out("dwqkv", e, 3*e), TransA: true}
	dnorm := &kernels.MatMul{A: datt.DQKV, B: qkv.B, C: m.Out("dnorm", b, t, e), TransB: true}
	dx := &kernels.Axpby{X: dsum.C, Y: m.Out("dxsum", b, t, e), Alpha: 1}
	dln := layerNormGrad(m, norm, true)
	dln.DY, dln.DX = dnorm.C, dx.Y
	return []kernels.Op{norm, qkv, att, out, up, drop, undrop, gelu, dup, m.Mark(dup.C), dsum, datt, dqkv, m.Mark(dqkv.C), dnorm, dx, dln, m.Mark(dln.DX, dln.DGamma)}
}

// reuse overwrites operands that were read before: order must hold.
func reuse(m *Memory) []kernels.Op {
	x, y := m.Random("x", 9, 4, 4, 8), m.Out("y", 9, 4, 4, 8)
	w, v := m.Spread("w", 0, 0.1, 3, 3, 8, 8), m.Random("v", 3, 3, 8, 8)
	total := m.Out("total", 8)
	return []kernels.Op{
		&kernels.Conv2D{X: x, W: w, Y: y, Conv: same},
		&kernels.Unary{X: y, Y: x, Fn: kernels.Tanh}, // x anew
		&kernels.SumRows{X: x, Y: total},
		&kernels.Axpby{X: v, Y: w, Alpha: 0.25, Beta: 0.5}, // w anew
	}
}
