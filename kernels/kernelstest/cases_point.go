package kernelstest

import (
	"fmt"

	"github.com/espalier-ml/espalier/kernels"
)

var lengths = []int{1, 7, 8, 31, 64, 1000, 4099}

func (s *suite) point() {
	for _, fn := range acts {
		for _, n := range lengths {
			name := fmt.Sprintf(" %v %d", fn, n)
			s.one("unary"+name, func(m *Memory) kernels.Op {
				return &kernels.Unary{X: m.Spread("x", 0, 3, n), Y: m.Out("y", n), Fn: fn}
			})
			for _, acc := range both {
				s.one("unarygrad"+name+flags("acc", acc), func(m *Memory) kernels.Op {
					return &kernels.UnaryGrad{X: m.Random("x", n), DY: m.Random("dy", n), DX: m.Sum(acc, "dx", n), Fn: fn, Acc: acc}
				})
			}
		}
		s.one(fmt.Sprintf("unary %v of large numbers", fn), func(m *Memory) kernels.Op {
			return &kernels.Unary{X: m.Spread("x", 0, 60, 133), Y: m.Out("y", 133), Fn: fn}
		})
		s.one(fmt.Sprintf("unary %v in place", fn), func(m *Memory) kernels.Op {
			x := m.Random("x", 45)
			return &kernels.Unary{X: x, Y: x, Fn: fn}
		})
		s.one(fmt.Sprintf("unarygrad %v in place", fn), func(m *Memory) kernels.Op {
			dy := m.Random("dy", 45)
			return &kernels.UnaryGrad{X: m.Random("x", 45), DY: dy, DX: dy, Fn: fn}
		})
	}
	s.binary()
	s.affine()
}

func (s *suite) binary() {
	for _, fn := range []kernels.BinFn{kernels.Add, kernels.Sub, kernels.Mul} {
		for _, acc := range both {
			for _, n := range lengths {
				s.one(fmt.Sprintf("binary %v %d", fn, n)+flags("acc", acc), func(m *Memory) kernels.Op {
					return &kernels.Binary{A: m.Random("a", n), B: m.Random("b", n), Y: m.Sum(acc, "y", n), Fn: fn, Acc: acc}
				})
			}
			for _, b := range [][]int{{16}, {3, 16}, {5, 3, 16}} {
				s.one(fmt.Sprintf("binary %v 5x3x16 with %s", fn, dims(b...))+flags("acc", acc), func(m *Memory) kernels.Op {
					return &kernels.Binary{A: m.Random("a", 5, 3, 16), B: m.Random("b", b...), Y: m.Sum(acc, "y", 5, 3, 16), Fn: fn, Acc: acc}
				})
			}
			s.one(fmt.Sprintf("binary %v 70x7 with 7", fn)+flags("acc", acc), func(m *Memory) kernels.Op {
				return &kernels.Binary{A: m.Random("a", 70, 7), B: m.Random("b", 7), Y: m.Sum(acc, "y", 70, 7), Fn: fn, Acc: acc}
			})
			s.one(fmt.Sprintf("binary %v 9x1 with 1", fn)+flags("acc", acc), func(m *Memory) kernels.Op {
				return &kernels.Binary{A: m.Random("a", 9, 1), B: m.Random("b", 1), Y: m.Sum(acc, "y", 9, 1), Fn: fn, Acc: acc}
			})
		}
		s.one(fmt.Sprintf("binary %v in place", fn), func(m *Memory) kernels.Op {
			a := m.Random("a", 9, 21)
			return &kernels.Binary{A: a, B: m.Random("b", 21), Y: a, Fn: fn}
		})
		s.one(fmt.Sprintf("binary %v onto B", fn), func(m *Memory) kernels.Op {
			b := m.Random("b", 9, 21)
			return &kernels.Binary{A: m.Random("a", 9, 21), B: b, Y: b, Fn: fn}
		})
	}
}

func (s *suite) affine() {
	for _, n := range lengths {
		for _, c := range [][2]float32{{1, 0}, {0.5, 0}, {1, 1}, {-2, 0.25}, {0, 0.5}} {
			s.one(fmt.Sprintf("axpby %d %g %g", n, c[0], c[1]), func(m *Memory) kernels.Op {
				return &kernels.Axpby{X: m.Random("x", n), Y: m.Sum(c[1] != 0, "y", n), Alpha: c[0], Beta: c[1]}
			})
		}
		s.one(fmt.Sprintf("fill %d", n), func(m *Memory) kernels.Op { return &kernels.Fill{Y: m.Out("y", n), Value: 1.25} })
	}
	s.one("axpby in place", func(m *Memory) kernels.Op {
		x := m.Random("x", 45)
		return &kernels.Axpby{X: x, Y: x, Alpha: 0.5, Beta: 2}
	})
	s.one("fill of 4 axes", func(m *Memory) kernels.Op { return &kernels.Fill{Y: m.Out("y", 5, 3, 2, 7)} })
}

func (s *suite) dropout() {
	for _, n := range lengths {
		for _, p := range []float32{0, 0.5, 0.9} {
			for _, acc := range both {
				s.one(fmt.Sprintf("dropout %d P %g", n, p)+flags("acc", acc), func(m *Memory) kernels.Op {
					return &kernels.Dropout{X: m.Random("x", n), Y: m.Sum(acc, "y", n), P: p, ID: 3, Acc: acc}
				})
			}
		}
	}
	for mode := range 3 {
		for _, shape := range [][]int{{1, 1}, {5, 7}, {3, 4, 4, 9}, {70, 33}, {2, 700}} {
			for _, bits := range []int{8, 4} {
				s.one(fmt.Sprintf("fake quantization mode %d %d bits %s", mode, bits, dims(shape...)), func(m *Memory) kernels.Op {
					return &kernels.FakeQuant{X: m.Random("x", shape...), Y: m.Out("y", shape...), Mode: m.Fill("mode", func(int) float32 { return float32(mode) }, 1), Rows: shape[0], Bits: bits, ID: 6}
				})
			}
		}
	}
	s.one("dropout of images in place", func(m *Memory) kernels.Op {
		x := m.Random("x", 9, 3, 3, 5)
		return &kernels.Dropout{X: x, Y: x, P: 0.25, ID: 4}
	})
}
