package graph

import (
	"fmt"
	"slices"

	"github.com/espalier-ml/espalier/kernels"
)

// Backward fuses the forward ops and appends those that compute the gradient
// of the loss by every parameter, in reverse order. Call it once, after Loss.
func (g *Graph) Backward() {
	if g.loss == nil || !g.cfg.Train {
		fail("backward needs a training graph with a loss")
	}
	g.fuse()
	g.forward = len(g.ops)
	t := &tape{g: g, needs: map[*kernels.Tensor]bool{}, written: map[*kernels.Tensor]bool{}, shared: map[*kernels.Tensor]bool{}}
	for _, p := range g.params {
		p.G = kernels.New(p.Name+".grad", kernels.F32, p.W.Shape...)
		if p.Local {
			continue
		}
		g.grads[p.W] = p.G
		t.needs[p.W] = true
	}
	for x := range g.standIns {
		t.needs[x] = true
	}
	for _, op := range g.ops {
		if slices.ContainsFunc(op.Inputs(), func(x *kernels.Tensor) bool { return t.needs[x.Root()] }) {
			for _, y := range op.Outputs() {
				t.needs[y.Root()] = true
			}
		}
	}
	forward := slices.Clone(g.ops)
	for i := len(forward) - 1; i >= 0; i-- {
		t.at = i
		t.reverse(forward[i])
	}
	for _, p := range g.params {
		if !p.Local && !t.written[p.G] {
			fail("parameter %s has no gradient: nothing that the loss depends on uses it", p.Name)
		}
	}
}

// tape emits gradient ops while it walks the forward ops backwards.
type tape struct {
	g       *Graph
	at      int
	needs   map[*kernels.Tensor]bool // by root: does the loss depend on a parameter through it
	written map[*kernels.Tensor]bool // by root of the gradient: does it hold a contribution
	shared  map[*kernels.Tensor]bool // gradients of two values: never changed in place for one
}

// of returns the complete gradient of an output, or nil when none flows.
func (t *tape) of(y *kernels.Tensor) *kernels.Tensor {
	d := t.grad(y)
	if !t.written[d.Root()] {
		return nil
	}
	return d
}

// grad is the gradient tensor of x, a view where x is one.
func (t *tape) grad(x *kernels.Tensor) *kernels.Tensor {
	if x.Base != nil {
		return t.grad(x.Base).View(x.BaseOff, x.Shape...)
	}
	if of := t.g.standIns[x]; of != nil {
		return t.grad(of)
	}
	d := t.g.grads[x]
	if d == nil {
		d = kernels.New("d."+x.Name, kernels.F32, x.Shape...)
		t.g.grads[x] = d
	}
	return d
}

// into returns where a contribution to the gradient of x goes, and whether it
// must be added to what is there. It returns nil when nobody needs it.
func (t *tape) into(x *kernels.Tensor) (d *kernels.Tensor, acc bool) {
	if x == nil || !t.needs[x.Root()] {
		return nil, false
	}
	d = t.grad(x)
	acc = t.written[d.Root()]
	t.written[d.Root()] = true
	return d, acc
}

// fresh is like into for ops that cannot accumulate: with an earlier
// contribution they write to a temporary that done adds.
func (t *tape) fresh(x *kernels.Tensor) (d *kernels.Tensor, done func()) {
	sum, acc := t.into(x)
	if sum == nil {
		return kernels.New("unused."+x.Name, kernels.F32, x.Shape...), func() {}
	}
	if !acc {
		return sum, func() {}
	}
	d = kernels.New(sum.Name+".part", kernels.F32, x.Shape...)
	return d, func() { t.emit(&kernels.Axpby{X: d, Y: sum, Alpha: 1, Beta: 1}) }
}

func (t *tape) emit(op kernels.Op) { t.g.emit(op) }

// pass hands the gradient d of an output on to an operand x unchanged. Where
// x has no contribution yet and nobody else touches d any more it becomes x's
// gradient itself; else it is copied or added.
func (t *tape) pass(d, x *kernels.Tensor, mayTake bool) {
	if x == nil || !t.needs[x.Root()] {
		return
	}
	if mayTake && x.Base == nil && d.Base == nil && t.g.grads[x] == nil && t.g.standIns[x] == nil {
		t.g.grads[x] = d
		return // d is written already
	}
	dst, acc := t.into(x)
	beta := float32(0)
	if acc {
		beta = 1
	}
	t.emit(&kernels.Axpby{X: d, Y: dst, Alpha: 1, Beta: beta})
}

// takes reports whether both operands of a sum may share its gradient: b's
// maker is the last op before this one that reads or writes a or b, so that
// b's gradient is read before anything is added to a's.
func (t *tape) takes(a, b *kernels.Tensor, ops []kernels.Op) bool {
	for i := t.at - 1; i >= 0; i-- {
		op := ops[i]
		if slices.ContainsFunc(op.Outputs(), func(y *kernels.Tensor) bool { return y == b }) {
			return true
		}
		if slices.ContainsFunc(op.Inputs(), func(x *kernels.Tensor) bool { return x.Root() == a.Root() || x.Root() == b.Root() }) {
			return false
		}
	}
	return false
}

func (t *tape) reverse(op kernels.Op) {
	switch o := op.(type) {
	case *kernels.SoftmaxXent:
		o.DLogits, _ = t.into(o.Logits)
	case *kernels.MatMul:
		t.matmul(o)
	case *kernels.Conv2D:
		t.conv(o)
	case *kernels.BatchNorm:
		t.batchNorm(o)
	case *kernels.LayerNorm:
		t.layerNorm(o)
	case *kernels.Attention:
		if dy := t.of(o.O); dy != nil {
			dx, done := t.fresh(o.QKV)
			t.emit(&kernels.AttentionGrad{QKV: o.QKV, O: o.O, LSE: o.LSE, DO: dy, DQKV: dx, Heads: o.Heads, Causal: o.Causal})
			done()
		}
	case *kernels.LSTM:
		t.lstm(o)
	case *kernels.Gather:
		if dy := t.of(o.Y); dy != nil {
			if d, acc := t.into(o.Table); d != nil {
				t.emit(&kernels.GatherGrad{DY: dy, Index: o.Index, DTable: d, Acc: acc})
			}
		}
	default:
		t.reversePoint(op)
	}
}

func (t *tape) matmul(o *kernels.MatMul) {
	dy := t.of(o.C)
	if dy == nil {
		return
	}
	dy = t.behindAct(o.Act, o.C, o.Pre, dy)
	if o.Bias != nil {
		if d, acc := t.into(o.Bias); d != nil {
			t.emit(&kernels.SumRows{X: dy, Y: d, Acc: acc})
		}
	}
	if d, acc := t.into(o.A); d != nil {
		m := &kernels.MatMul{A: dy, B: o.B, C: d, TransB: !o.TransB, Alpha: o.Alpha, Acc: acc}
		if o.TransA { // dA = op(B)·dYᵀ
			m = &kernels.MatMul{A: o.B, B: dy, C: d, TransA: o.TransB, TransB: true, Alpha: o.Alpha, Acc: acc}
		}
		t.emit(m)
	}
	if d, acc := t.into(o.B); d != nil {
		m := &kernels.MatMul{A: o.A, B: dy, C: d, TransA: !o.TransA, Alpha: o.Alpha, Acc: acc}
		if o.TransB { // dB = dYᵀ·op(A)
			m = &kernels.MatMul{A: dy, B: o.A, C: d, TransA: true, TransB: o.TransA, Alpha: o.Alpha, Acc: acc}
		}
		t.emit(flat(m))
	}
}

// flat makes matrices of the operands of a reduction over all leading axes:
// the gradient of a weight of rank 2.
func flat(m *kernels.MatMul) *kernels.MatMul {
	if len(m.C.Shape) == 2 {
		m.A = m.A.View(0, m.A.Rows(), m.A.Dim(-1))
		m.B = m.B.View(0, m.B.Rows(), m.B.Dim(-1))
	}
	return m
}

// behindAct turns the gradient of act(pre) into that of pre, in place where it
// belongs to nobody else.
func (t *tape) behindAct(act kernels.Act, y, pre, dy *kernels.Tensor) *kernels.Tensor {
	if act == kernels.NoAct {
		return dy
	}
	x := y
	if !act.FromOutput() {
		x = pre
	}
	dx := dy
	if t.shared[dy.Root()] {
		dx = kernels.New(dy.Name+".pre", kernels.F32, dy.Shape...)
	}
	t.emit(&kernels.UnaryGrad{X: x, DY: dy, DX: dx, Fn: act})
	return dx
}

func (t *tape) conv(o *kernels.Conv2D) {
	dy := t.of(o.Y)
	if dy == nil {
		return
	}
	dy = t.behindAct(o.Act, o.Y, nil, dy)
	if o.Bias != nil {
		if d, acc := t.into(o.Bias); d != nil {
			t.emit(&kernels.SumRows{X: dy, Y: d, Acc: acc})
		}
	}
	if d, acc := t.into(o.W); d != nil {
		t.emit(&kernels.ConvWeight{X: o.X, DY: dy, DW: d, Conv: o.Conv, Acc: acc})
	}
	if d, acc := t.into(o.X); d != nil {
		t.emit(&kernels.ConvInput{DY: dy, W: o.W, DX: d, Conv: o.Conv, Acc: acc})
	}
}

func (t *tape) batchNorm(o *kernels.BatchNorm) {
	dy := t.of(o.Y)
	if dy == nil {
		return
	}
	b := &kernels.BatchNormGrad{X: o.X, DY: dy, Gamma: o.Gamma, Mean: o.Mean, InvStd: o.InvStd, ReLU: o.ReLU,
		DGamma: t.grad(o.Gamma), DBeta: t.grad(o.Beta)}
	t.written[b.DGamma], t.written[b.DBeta] = true, true
	if o.ReLU {
		b.Y = o.Y
	}
	if r := o.Residual; r != nil && t.needs[r.Root()] {
		if r.Base == nil && dy.Base == nil && t.g.grads[r] == nil && !t.shared[dy] {
			t.g.grads[r] = dy // the op masks it in place
			b.DResidual = dy
		} else {
			b.DResidual, b.AccResidual = t.into(r)
		}
	}
	var done func()
	b.DX, done = t.fresh(o.X)
	t.emit(b)
	done()
}

func (t *tape) layerNorm(o *kernels.LayerNorm) {
	dy := t.of(o.Y)
	if dy == nil {
		return
	}
	n := &kernels.LayerNormGrad{X: o.X, DY: dy, Gamma: o.Gamma, Mean: o.Mean, InvStd: o.InvStd, RMS: o.RMS, DGamma: t.grad(o.Gamma)}
	t.written[n.DGamma] = true
	if o.Beta != nil {
		n.DBeta = t.grad(o.Beta)
		t.written[n.DBeta] = true
	}
	if n.DX, n.Acc = t.into(o.X); n.DX == nil {
		n.DX = kernels.New("unused", kernels.F32, o.X.Shape...)
	}
	t.emit(n)
}

func (t *tape) lstm(o *kernels.LSTM) {
	dh := t.of(o.H)
	if dh == nil {
		return
	}
	dx, done := t.fresh(o.X)
	dw, acc := t.into(o.W)
	t.emit(&kernels.LSTMGrad{W: o.W, H: o.H, C: o.C, Gates: o.Gates, DH: dh, DX: dx, DW: dw, Acc: acc})
	done()
}

func unsupported(op kernels.Op) { panic(fmt.Sprintf("graph: no gradient for %T", op)) }
