package kernelstest

import "github.com/espalier-ml/espalier/kernels"

func (s *suite) matmul() {
	sizes := [][3]int{{1, 1, 1}, {2, 3, 5}, {7, 17, 9}, {6, 16, 8}, {16, 16, 16}, {33, 65, 31}, {64, 10, 64}, {12, 48, 100}, {5, 130, 257}, {1, 1000, 3}, {129, 1, 7}, {37, 33, 257}}
	for _, z := range sizes {
		for i := range 4 {
			s.product(z, i&1 != 0, i&2 != 0)
		}
	}
	for _, act := range acts {
		for _, z := range [][3]int{{3, 5, 7}, {24, 33, 16}} {
			s.one("matmul "+dims(z[:]...)+" bias "+act.String(), func(m *Memory) kernels.Op {
				return &kernels.MatMul{A: m.Random("a", z[0], z[2]), B: m.Random("b", z[2], z[1]), C: m.Out("c", z[0], z[1]),
					Bias: m.Random("bias", z[1]), Act: act, Pre: m.Out("pre", z[0], z[1])}
			})
		}
	}
	s.one("matmul act without pre", func(m *Memory) kernels.Op {
		return &kernels.MatMul{A: m.Random("a", 9, 8), B: m.Random("b", 8, 19), C: m.Out("c", 9, 19), Act: kernels.GELU, Alpha: -0.5}
	})
	s.one("matmul rank 3", func(m *Memory) kernels.Op {
		return &kernels.MatMul{A: m.Random("a", 3, 5, 8), B: m.Random("b", 8, 12), C: m.Out("c", 3, 5, 12), Bias: m.Random("bias", 12)}
	})
	for _, acc := range both {
		s.one("matmul flattened"+flags("acc", acc), func(m *Memory) kernels.Op {
			return &kernels.MatMul{A: m.Random("a", 3, 5, 8), B: m.Random("b", 3, 5, 20), C: m.Sum(acc, "c", 8, 20), TransA: true, Acc: acc}
		})
	}
	s.batches()
}

// product adds one size of op(A)·op(B), alone, scaled and accumulated.
func (s *suite) product(z [3]int, transA, transB bool) {
	for _, acc := range both {
		s.one("matmul "+dims(z[:]...)+flags("transA", transA, "transB", transB, "acc", acc), func(m *Memory) kernels.Op {
			o := &kernels.MatMul{A: m.Random("a", z[0], z[2]), B: m.Random("b", z[2], z[1]), C: m.Sum(acc, "c", z[0], z[1]),
				TransA: transA, TransB: transB, Acc: acc}
			if transA {
				o.A = m.Random("a transposed", z[2], z[0])
			}
			if transB {
				o.B = m.Random("b transposed", z[1], z[2])
			}
			if acc {
				o.Alpha = 0.75
			}
			return o
		})
	}
}

func (s *suite) batches() {
	for _, z := range [][4]int{{1, 2, 3, 4}, {5, 7, 9, 3}, {3, 16, 24, 32}} {
		n, i, j, k := z[0], z[1], z[2], z[3]
		for trans := range 4 {
			a, b := []int{n, i, k}, []int{n, k, j}
			if trans&1 != 0 {
				a = []int{n, k, i}
			}
			if trans&2 != 0 {
				b = []int{n, j, k}
			}
			s.one("matmul batch "+dims(z[:]...)+flags("transA", trans&1 != 0, "transB", trans&2 != 0), func(m *Memory) kernels.Op {
				return &kernels.MatMul{A: m.Random("a", a...), B: m.Random("b", b...), C: m.Out("c", n, i, j),
					TransA: trans&1 != 0, TransB: trans&2 != 0, Alpha: 0.25}
			})
		}
	}
}

func (s *suite) sums() {
	for _, z := range [][2]int{{1, 1}, {5, 3}, {100, 16}, {70, 33}, {1000, 10}} {
		for _, acc := range both {
			s.one("sumrows "+dims(z[:]...)+flags("acc", acc), func(m *Memory) kernels.Op {
				return &kernels.SumRows{X: m.Random("x", z[0], z[1]), Y: m.Sum(acc, "y", z[1]), Acc: acc}
			})
		}
	}
	s.one("sumrows over the first axis", func(m *Memory) kernels.Op {
		return &kernels.SumRows{X: m.Random("x", 9, 3, 5), Y: m.Out("y", 3, 5)}
	})
	s.one("sumrows to one", func(m *Memory) kernels.Op {
		return &kernels.SumRows{X: m.Random("x", 9, 3, 5), Y: m.Out("y", 1)}
	})
}
