package graph

import (
	"slices"

	"github.com/espalier-ml/espalier/kernels"
)

// BatchNormParams are the parameters of a batch normalisation over channels.
type BatchNormParams struct {
	Gamma, Beta     *Value
	RunMean, RunVar *Value // states
	Eps             float32
}

// Norm is a batch normalisation of a traced graph.
type Norm struct {
	Gamma, Beta, Mean, Var *Param
}

// Norms lists the batch normalisations in the order of the model.
func (g *Graph) Norms() []*Norm { return g.norms }

// Branches lists the normalisations that end a residual branch beside an
// identity: without the branch the network is still whole.
func (g *Graph) Branches() []*Norm { return g.branches }

// BatchNorm normalises over all axes but the last. In training it uses the
// statistics of the shard and offers them to the running ones.
func (x *Value) BatchNorm(p BatchNormParams) *Value {
	g := x.g
	x.mustMatch("batch norm", x.Last(), p.Gamma.Last())
	p.RunMean.param.Scaled, p.RunVar.param.Scaled = x.scaled, x.scaled
	y := g.value(p.Gamma.param.Name+".out", kernels.F32, x.Axes...)
	y.norm = &Norm{p.Gamma.param, p.Beta.param, p.RunMean.param, p.RunVar.param}
	g.norms = append(g.norms, y.norm)
	if !g.cfg.Train {
		g.emit(&kernels.BatchNormInfer{X: x.T, Gamma: p.Gamma.T, Beta: p.Beta.T,
			Mean: p.RunMean.T, Var: p.RunVar.T, Y: y.T, Eps: p.Eps})
		return y
	}
	per := func(name string) *kernels.Tensor {
		return g.value(p.Gamma.param.Name+name, kernels.F32, x.Last()).T
	}
	op := &kernels.BatchNorm{X: x.T, Gamma: p.Gamma.T, Beta: p.Beta.T, Y: y.T,
		Mean: per(".mean"), Var: per(".var"), InvStd: per(".invstd"), Eps: p.Eps}
	g.emit(op)
	n := float32(x.T.Rows())
	g.stats = append(g.stats,
		stat{op.Mean, p.RunMean.param, 1},
		stat{op.Var, p.RunVar.param, n / max(n-1, 1)})
	return y
}

// LayerNorm normalises each row of the last axis.
func (x *Value) LayerNorm(gamma, beta *Value, eps float32) *Value {
	return x.rowNorm(gamma, beta, eps, false)
}

// RMSNorm divides each row of the last axis by its root mean square.
func (x *Value) RMSNorm(gamma *Value, eps float32) *Value {
	return x.rowNorm(gamma, nil, eps, true)
}

func (x *Value) rowNorm(gamma, beta *Value, eps float32, rms bool) *Value {
	x.mustMatch("layer norm", x.Last(), gamma.Last())
	y := x.g.value(gamma.T.Name+".out", kernels.F32, x.Axes...)
	rows := slices.Clone(x.Axes[:len(x.Axes)-1])
	op := &kernels.LayerNorm{X: x.T, Gamma: gamma.T, Beta: tensor(beta), Y: y.T, RMS: rms, Eps: eps,
		InvStd: x.g.value(gamma.T.Name+".invstd", kernels.F32, rows...).T}
	if !rms {
		op.Mean = x.g.value(gamma.T.Name+".mean", kernels.F32, rows...).T
	}
	x.g.emit(op)
	return y
}

// Softmax is applied along the last axis.
func (x *Value) Softmax() *Value {
	y := x.g.value("softmax", kernels.F32, x.Axes...)
	x.g.emit(&kernels.Softmax{X: x.T, Y: y.T})
	return y
}

// Loss ends the network with softmax cross-entropy against targets, one for
// each row of the logits; -1 marks a row that does not count.
func (g *Graph) Loss(logits, targets *Value, smooth float32) {
	if g.loss != nil {
		fail("the network has two losses")
	}
	classes := logits.T.Dim(-1)
	rows := Fixed(logits.T.Rows())
	l := logits.T.View(0, rows.Size(), classes)
	op := &kernels.SoftmaxXent{Logits: l, Target: targets.T.View(0, rows.Size()), Smooth: smooth,
		Loss: g.value("loss", kernels.F32, rows).T, Hit: g.value("hit", kernels.F32, rows).T}
	g.emit(op)
	g.loss, g.logits = op, logits
}
