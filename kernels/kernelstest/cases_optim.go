package kernelstest

import (
	"fmt"

	"github.com/espalier-ml/espalier/kernels"
)

// partitions are ways to cut a parameter of rows × cols in blocks of growth.
var partitions = []struct {
	name string
	of   kernels.Blocks
}{
	{"one", kernels.Blocks{Rows: 1, Cols: 1, N: 1}},
	{"whole", kernels.Blocks{Rows: 37, Cols: 111, N: 1}},
	{"rows", kernels.Blocks{Rows: 9, Cols: 17, RowBlock: stages(9, 4), N: 3}},
	{"cols", kernels.Blocks{Rows: 9, Cols: 17, ColBlock: stages(17, 8), N: 3}},
	{"both", kernels.Blocks{Rows: 24, Cols: 32, RowBlock: stages(24, 8), ColBlock: stages(32, 16), N: 4}},
	{"scattered", kernels.Blocks{Rows: 5, Cols: 7, RowBlock: []int32{2, 0, 1, 0, 2}, ColBlock: []int32{1, 0, 0, 2, 0, 1, 0}, N: 4}},
}

// stages gives every step indices a block of their own.
func stages(n, step int) []int32 {
	b := make([]int32, n)
	for i := range b {
		b[i] = int32(i / step)
	}
	return b
}

func (s *suite) optimizers() {
	for _, p := range partitions {
		b := p.of
		for i := range 4 {
			momentum, nesterov := i > 0, i > 1
			damp, decay := float32(0), float32(0.01)
			if i == 1 || i == 3 {
				damp, decay = 0.5, 0
			}
			s.one("sgd "+p.name+flags("momentum", momentum, "nesterov", nesterov, "dampening", damp > 0), func(m *Memory) kernels.Op {
				o := &kernels.SGD{W: m.Random("w", b.Rows, b.Cols), G: m.Random("g", b.Rows, b.Cols), Dampening: damp, Decay: decay,
					Nesterov: nesterov, Blocks: b, Rates: m.Positive("rates", b.N)}
				if momentum {
					o.M, o.Momentum = m.Random("m", b.Rows, b.Cols), 0.9
					o.FirstBlock = m.Fill("first", func(i int) float32 { return float32(i % 2) }, b.N)
				}
				return o
			})
		}
		for _, decoupled := range both {
			s.one("adam "+p.name+flags("decoupled", decoupled), func(m *Memory) kernels.Op {
				return &kernels.Adam{W: m.Random("w", b.Rows, b.Cols), G: m.Random("g", b.Rows, b.Cols), M: m.Random("m", b.Rows, b.Cols), V: m.Positive("v", b.Rows, b.Cols),
					Beta1: 0.9, Beta2: 0.99, Eps: 1e-6, Decay: 0.02, Decoupled: decoupled, Blocks: b,
					Rates: m.Positive("rates", b.N), Corr1: m.Positive("corr1", b.N), Corr2: m.Positive("corr2", b.N)}
			})
		}
		for i := range 4 {
			s.one("avagrad "+p.name+flags("decoupled", i%2 > 0, "squares", i > 1), func(m *Memory) kernels.Op { return avagradCase(m, b, i%2 > 0, i > 1) })
			s.one("adabound "+p.name+flags("decoupled", i%2 > 0, "max", i > 1), func(m *Memory) kernels.Op { return adaboundCase(m, b, i%2 > 0, i > 1) })
		}
		s.one("ratesquares "+p.name, func(m *Memory) kernels.Op {
			return &kernels.RateSquares{V: m.Positive("v", b.Rows, b.Cols), Corr: m.Positive("corr", b.N), Eps: 1e-2, Blocks: b, Out: m.Out("out", b.N, 2)}
		})
		s.one("blocksquares "+p.name, func(m *Memory) kernels.Op {
			return &kernels.BlockSquares{W: m.Random("w", b.Rows*b.Cols), Blocks: b, Out: m.Out("out", b.N)}
		})
	}
	s.one(fmt.Sprintf("sgd of a vector of %d", 4099), func(m *Memory) kernels.Op {
		return &kernels.SGD{W: m.Random("w", 4099), G: m.Random("g", 4099), M: m.Random("m", 4099), Momentum: 0.5,
			Blocks: kernels.Blocks{Rows: 1, Cols: 4099, N: 1}, Rates: m.Positive("rates", 1), FirstBlock: m.Fill("first", func(int) float32 { return 0 }, 1)}
	})
}

func avagradCase(m *Memory, b kernels.Blocks, decoupled, squares bool) kernels.Op {
	o := &kernels.AvaGrad{W: m.Random("w", b.Rows, b.Cols), G: m.Random("g", b.Rows, b.Cols), M: m.Random("m", b.Rows, b.Cols), V: m.Positive("v", b.Rows, b.Cols),
		Beta1: 0.9, Beta2: 0.99, Eps: 1e-3, Decay: 0.02, Decoupled: decoupled, Blocks: b,
		Rates: m.Positive("rates", b.N), Corr1: m.Positive("corr1", b.N), Corr2: m.Positive("corr2", b.N)}
	if squares {
		o.Gamma, o.Next, o.Squares = m.Positive("gamma", 1), m.Positive("next", b.N), m.Out("squares", b.N, 2)
	}
	return o
}

func adaboundCase(m *Memory, b kernels.Blocks, decoupled, top bool) kernels.Op {
	o := &kernels.AdaBound{W: m.Random("w", b.Rows, b.Cols), G: m.Random("g", b.Rows, b.Cols), M: m.Random("m", b.Rows, b.Cols), V: m.Positive("v", b.Rows, b.Cols),
		Beta2: 0.99, Eps: 1e-8, Decay: 0.02, Decoupled: decoupled, Blocks: b,
		Rates: m.Positive("rates", b.N), Beta1: m.Fill("beta1", func(i int) float32 { return 0.9 / float32(i+1) }, b.N), Scale: m.Positive("scale", b.N),
		Lower: m.Fill("lower", func(int) float32 { return 0.7 }, b.N), Upper: m.Fill("upper", func(int) float32 { return 1.2 }, b.N)}
	if top {
		o.Max, o.Box = m.Positive("max", b.Rows, b.Cols), [2]float32{-1, 0.5}
	}
	return o
}
