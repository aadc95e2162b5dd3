package cuda

import (
	"fmt"
	"reflect"

	"github.com/espalier-ml/espalier/kernels"
)

// together tells how many of the first ops are optimizer ops of one kind that
// do not depend on each other, and so become one launch. It is at least 1.
func together(ops []kernels.Op) int {
	if kindOf(ops[0]) == "" {
		return 1
	}
	var read, written []*kernels.Tensor
	for n, op := range ops {
		in, out := op.Inputs(), op.Outputs()
		if kindOf(op) != kindOf(ops[0]) || overlap(in, written) || overlap(out, written) || overlap(out, read) {
			return n
		}
		read, written = append(read, in...), append(written, out...)
	}
	return len(ops)
}

// kindOf names the launch that an optimizer op goes into, "" for other ops.
func kindOf(op kernels.Op) string {
	switch o := op.(type) {
	case *kernels.SGD, *kernels.Adam, *kernels.AdaBound, *kernels.BlockSquares, *kernels.RateSquares:
		return reflect.TypeOf(op).String()
	case *kernels.AvaGrad:
		return fmt.Sprint("avagrad ", o.Squares != nil)
	}
	return ""
}

// overlap tells whether memory of some a is memory of some b.
func overlap(a, b []*kernels.Tensor) bool {
	for _, x := range a {
		bufX, i := x.Place()
		for _, y := range b {
			bufY, j := y.Place()
			if bufX == bufY && i < j+y.Bytes() && j < i+x.Bytes() {
				return true
			}
		}
	}
	return false
}

// chunkEntries is CHUNK_ENTRIES of src/optim.cu.
const chunkEntries = 4096

// param is struct Param of src/optim.cu.
type param struct {
	W, G, M, V, Top, RowBlock, ColBlock, Rates, A, B, C, D, Gamma, Part, Out uint64
	Beta1, Damp, Beta2, Eps, Decay, Lo, Hi                                   float32
	Flag, Cols, Blocks, N, _                                                 int32
}

// table is the parameters of a launch.
type table struct {
	params     []param
	chunks     []int32 // parameter and first entry of each
	mostBlocks int
}

func (l *lowering) add(t *table, p param, n int, b *kernels.Blocks) {
	p.N, p.Cols, p.Blocks = int32(n), int32(b.Cols), int32(max(b.N, 1))
	if b.RowBlock != nil {
		p.RowBlock = l.constant(b.RowBlock)
	}
	if b.ColBlock != nil {
		p.ColBlock = l.constant(b.ColBlock)
	}
	for at := 0; at < n; at += chunkEntries {
		t.chunks = append(t.chunks, int32(len(t.params)), int32(at))
	}
	t.params, t.mostBlocks = append(t.params, p), max(t.mostBlocks, int(p.Blocks))
}

func flag(on bool) int32 {
	if on {
		return 1
	}
	return 0
}

// optim lowers optimizer ops of one kind.
func (l *lowering) optim(ops []kernels.Op) {
	var steps, sums table
	var kernel string
	pair := true
	for _, op := range ops {
		switch o := op.(type) {
		case *kernels.SGD:
			kernel = "sgd"
			l.add(&steps, param{W: l.addr(o.W), G: l.addr(o.G), M: l.addr(o.M), Rates: l.addr(o.Rates), A: l.addr(o.FirstBlock),
				Beta1: o.Momentum, Damp: o.Dampening, Decay: o.Decay, Flag: flag(o.Nesterov)}, o.W.Len(), &o.Blocks)
		case *kernels.Adam:
			kernel = "adam"
			l.add(&steps, param{W: l.addr(o.W), G: l.addr(o.G), M: l.addr(o.M), V: l.addr(o.V), Rates: l.addr(o.Rates), A: l.addr(o.Corr1), B: l.addr(o.Corr2),
				Beta1: o.Beta1, Beta2: o.Beta2, Eps: o.Eps, Decay: o.Decay, Flag: flag(o.Decoupled)}, o.W.Len(), &o.Blocks)
		case *kernels.AvaGrad:
			kernel = "avagrad"
			if o.Squares != nil {
				l.squares(&sums, param{V: l.addr(o.V), A: l.addr(o.Next), Eps: o.Eps, Out: l.addr(o.Squares)}, o.V.Len(), &o.Blocks)
			}
			l.add(&steps, param{W: l.addr(o.W), G: l.addr(o.G), M: l.addr(o.M), V: l.addr(o.V), Rates: l.addr(o.Rates), A: l.addr(o.Corr1), B: l.addr(o.Corr2),
				Gamma: l.addr(o.Gamma), Beta1: o.Beta1, Beta2: o.Beta2, Eps: o.Eps, Decay: o.Decay, Flag: flag(o.Decoupled)}, o.W.Len(), &o.Blocks)
		case *kernels.AdaBound:
			kernel = "adabound"
			l.add(&steps, param{W: l.addr(o.W), G: l.addr(o.G), M: l.addr(o.M), V: l.addr(o.V), Top: l.addr(o.Max), Rates: l.addr(o.Rates),
				A: l.addr(o.Beta1), B: l.addr(o.Scale), C: l.addr(o.Lower), D: l.addr(o.Upper),
				Beta2: o.Beta2, Eps: o.Eps, Decay: o.Decay, Lo: o.Box[0], Hi: o.Box[1], Flag: flag(o.Decoupled)}, o.W.Len(), &o.Blocks)
		case *kernels.RateSquares:
			l.squares(&sums, param{V: l.addr(o.V), A: l.addr(o.Corr), Eps: o.Eps, Out: l.addr(o.Out)}, o.V.Len(), &o.Blocks)
		case *kernels.BlockSquares:
			pair = false
			l.squares(&sums, param{W: l.addr(o.W), Out: l.addr(o.Out)}, o.W.Len(), &o.Blocks)
		default:
			l.fail("%w", kernels.ErrUnsupported)
			return
		}
	}
	l.sum(&sums, pair) // of the state before the step
	if len(steps.params) > 0 {
		l.launch(kernel, dim(len(steps.chunks)/2), dim(threads), 0, l.env(), l.constant(steps.params), l.constant(steps.chunks))
	}
}

// squares adds a parameter whose squares are summed by block.
func (l *lowering) squares(t *table, p param, n int, b *kernels.Blocks) {
	p.Part = l.temp(8 * ceil(n, chunkEntries) * max(b.N, 1))
	l.add(t, p, n, b)
}

func (l *lowering) sum(t *table, pair bool) {
	if len(t.params) == 0 {
		return
	}
	params := l.constant(t.params)
	l.launch("chunk_squares", dim(len(t.chunks)/2), dim(threads), 0, params, l.constant(t.chunks))
	l.launch("fold_squares", dim(len(t.params), t.mostBlocks), dim(32), 0, params, pair)
}
