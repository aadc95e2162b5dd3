package graph

import (
	"slices"

	"github.com/espalier-ml/espalier/kernels"
)

// fuse replaces neighbouring ops by the fused descriptions that devices know:
// batch norm + add + ReLU, and bias + activation behind a linear map. Only
// values that nobody else reads disappear.
func (g *Graph) fuse() {
	uses := map[*kernels.Tensor]int{}
	maker := map[*kernels.Tensor]int{}
	for i, op := range g.ops {
		for _, t := range op.Inputs() {
			uses[t.Root()]++
		}
		for _, t := range op.Outputs() {
			maker[t] = i
		}
	}
	if g.logits != nil {
		uses[g.logits.T.Root()]++
	}
	f := &fuser{g: g, uses: uses, maker: maker}
	for i, op := range g.ops {
		switch o := op.(type) {
		case *kernels.Binary:
			f.add(i, o)
		case *kernels.Unary:
			f.act(i, o)
		}
	}
	g.ops = slices.DeleteFunc(g.ops, func(op kernels.Op) bool { return op == nil })
}

type fuser struct {
	g     *Graph
	uses  map[*kernels.Tensor]int
	maker map[*kernels.Tensor]int
}

// sole returns the op that makes t when the op being fused is t's only reader.
func (f *fuser) sole(t *kernels.Tensor) (int, kernels.Op) {
	i, ok := f.maker[t]
	if !ok || t.Base != nil || f.uses[t] != 1 {
		return 0, nil
	}
	return i, f.g.ops[i]
}

// move puts the fused op at place i, where all its operands are ready.
func (f *fuser) move(from, i int, op kernels.Op) {
	f.g.ops[from] = nil
	f.g.ops[i] = op
	for _, t := range op.Outputs() {
		f.maker[t] = i
	}
}

// add fuses a residual sum into the batch norm that makes its later operand.
func (f *fuser) add(i int, o *kernels.Binary) {
	if o.Fn != kernels.Add || !slices.Equal(o.A.Shape, o.B.Shape) {
		return
	}
	a, aop := f.sole(o.A)
	b, bop := f.sole(o.B)
	if bop != nil && (aop == nil || b > a) && f.residual(b, i, bop, o.A, o.Y) {
		return
	}
	if aop != nil {
		f.residual(a, i, aop, o.B, o.Y)
	}
}

func (f *fuser) residual(from, i int, op kernels.Op, r, y *kernels.Tensor) bool {
	switch n := op.(type) {
	case *kernels.BatchNorm:
		if n.Residual == nil && !n.ReLU {
			n.Residual, n.Y = r, y
			f.move(from, i, n)
			return true
		}
	case *kernels.BatchNormInfer:
		if n.Residual == nil && !n.ReLU {
			n.Residual, n.Y = r, y
			f.move(from, i, n)
			return true
		}
	}
	return false
}

// act fuses a pointwise function into the op that makes its operand.
func (f *fuser) act(i int, o *kernels.Unary) {
	from, op := f.sole(o.X)
	switch n := op.(type) {
	case *kernels.BatchNorm:
		if o.Fn == kernels.ReLU && !n.ReLU {
			n.ReLU, n.Y = true, o.Y
			f.move(from, i, n)
		}
	case *kernels.BatchNormInfer:
		if o.Fn == kernels.ReLU && !n.ReLU {
			n.ReLU, n.Y = true, o.Y
			f.move(from, i, n)
		}
	case *kernels.Conv2D:
		if o.Fn == kernels.ReLU && n.Act == kernels.NoAct {
			n.Act, n.Y = kernels.ReLU, o.Y
			f.move(from, i, n)
		}
	case *kernels.MatMul:
		if n.Act == kernels.NoAct && !n.Acc {
			if f.g.cfg.Train && !o.Fn.FromOutput() {
				n.Pre = n.C
			}
			n.Act, n.C = o.Fn, o.Y
			f.move(from, i, n)
		}
	}
}
