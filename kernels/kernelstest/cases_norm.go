package kernelstest

import "github.com/espalier-ml/espalier/kernels"

var normShapes = [][]int{{2, 4, 4, 16}, {3, 5, 7, 5}, {8, 6, 6, 64}, {70, 2, 2, 8}, {5, 9}, {33, 40}, {2, 3, 3, 1}, {4, 2, 2, 37}, {17, 3, 1, 24}}

func (s *suite) batchNorm() {
	for _, z := range normShapes {
		for i := range 4 {
			relu, residual := i&1 != 0, i&2 != 0
			name := dims(z...) + flags("relu", relu, "residual", residual)
			s.one("batchnorm "+name, func(m *Memory) kernels.Op { return batchNorm(m, z, relu, residual) })
			s.one("batchnorminfer "+name, func(m *Memory) kernels.Op { return batchNormInfer(m, z, relu, residual) })
			for _, acc := range both[:1+i/2] {
				s.add("batchnormgrad "+name+flags("acc", acc), func(m *Memory) []kernels.Op {
					f := batchNorm(m, z, relu, residual)
					return []kernels.Op{f, batchNormGrad(m, f, acc)}
				})
			}
		}
	}
	s.one("batchnorm of shifted images", func(m *Memory) kernels.Op {
		o := batchNorm(m, []int{4, 8, 8, 16}, false, false)
		o.X = m.Spread("far x", 30, 1, 4, 8, 8, 16)
		return o
	})
	s.one("batchnorm of equal images", func(m *Memory) kernels.Op {
		o := batchNorm(m, []int{4, 8, 8, 16}, false, false)
		o.X = m.Fill("flat x", func(i int) float32 { return 0.5 }, 4, 8, 8, 16)
		return o
	})
	s.one("batchnorminfer in place", func(m *Memory) kernels.Op {
		o := batchNormInfer(m, []int{3, 5, 5, 12}, true, true)
		o.Y = o.X
		return o
	})
}

func batchNorm(m *Memory, z []int, relu, residual bool) *kernels.BatchNorm {
	c := z[len(z)-1]
	o := &kernels.BatchNorm{X: m.Spread("x", 0.5, 2, z...), Gamma: m.Random("gamma", c), Beta: m.Random("beta", c), Y: m.Out("y", z...),
		Mean: m.Out("mean", c), Var: m.Out("var", c), InvStd: m.Out("invstd", c), ReLU: relu, Eps: 1e-3}
	if residual {
		o.Residual = m.Random("residual", z...)
	}
	return o
}

func batchNormInfer(m *Memory, z []int, relu, residual bool) *kernels.BatchNormInfer {
	c := z[len(z)-1]
	o := &kernels.BatchNormInfer{X: m.Random("x", z...), Gamma: m.Random("gamma", c), Beta: m.Random("beta", c), Y: m.Out("y", z...),
		Mean: m.Random("mean", c), Var: m.Positive("var", c), ReLU: relu, Eps: 1e-5}
	if residual {
		o.Residual = m.Random("residual", z...)
	}
	return o
}

// batchNormGrad is the gradient of f.
func batchNormGrad(m *Memory, f *kernels.BatchNorm, acc bool) *kernels.BatchNormGrad {
	z, c := f.X.Shape, f.X.Dim(-1)
	o := &kernels.BatchNormGrad{X: f.X, DY: m.Random("dy", z...), Gamma: f.Gamma, Mean: f.Mean, InvStd: f.InvStd,
		DX: m.Out("dx", z...), DGamma: m.Out("dgamma", c), DBeta: m.Out("dbeta", c), ReLU: f.ReLU}
	if f.ReLU {
		o.Y = f.Y
	}
	if f.Residual != nil {
		o.DResidual, o.AccResidual = m.Sum(acc, "dresidual", z...), acc
	}
	return o
}

func (s *suite) layerNorm() {
	for _, z := range [][]int{{1, 1}, {3, 5}, {7, 64}, {2, 5, 33}, {40, 129}, {100, 16}, {3, 1000}} {
		for _, rms := range both {
			s.one("layernorm "+dims(z...)+flags("rms", rms), func(m *Memory) kernels.Op { return layerNorm(m, z, rms) })
			for _, acc := range both {
				if z[0]*z[1] == 1 {
					continue // the gradient is 0 but for rounding
				}
				s.add("layernormgrad "+dims(z...)+flags("rms", rms, "acc", acc), func(m *Memory) []kernels.Op {
					f := layerNorm(m, z, rms)
					return []kernels.Op{f, layerNormGrad(m, f, acc)}
				})
			}
		}
	}
}

func layerNorm(m *Memory, z []int, rms bool) *kernels.LayerNorm {
	c := z[len(z)-1]
	o := &kernels.LayerNorm{X: m.Spread("x", 0.5, 2, z...), Gamma: m.Random("gamma", c), Y: m.Out("y", z...), RMS: rms, Eps: 1e-3}
	o.InvStd = m.Out("invstd", o.X.Rows())
	if !rms {
		o.Beta, o.Mean = m.Random("beta", c), m.Out("mean", o.X.Rows())
	}
	return o
}

// layerNormGrad is the gradient of f.
func layerNormGrad(m *Memory, f *kernels.LayerNorm, acc bool) *kernels.LayerNormGrad {
	z, c := f.X.Shape, f.X.Dim(-1)
	o := &kernels.LayerNormGrad{X: f.X, DY: m.Random("dy", z...), Gamma: f.Gamma, Mean: f.Mean, InvStd: f.InvStd,
		DX: m.Sum(acc, "dx", z...), DGamma: m.Out("dgamma", c), RMS: f.RMS, Acc: acc}
	if !f.RMS {
		o.DBeta = m.Out("dbeta", c)
	}
	return o
}

func (s *suite) softmax() {
	for _, z := range [][]int{{1, 1}, {3, 5}, {9, 10}, {70, 7}, {4, 1000}, {2, 3, 17}} {
		s.one("softmax "+dims(z...), func(m *Memory) kernels.Op {
			return &kernels.Softmax{X: m.Spread("x", 3, 4, z...), Y: m.Out("y", z...)}
		})
		for _, acc := range both {
			s.add("softmaxgrad "+dims(z...)+flags("acc", acc), func(m *Memory) []kernels.Op {
				f := &kernels.Softmax{X: m.Random("x", z...), Y: m.Out("y", z...)}
				return []kernels.Op{f, &kernels.SoftmaxGrad{Y: f.Y, DY: m.Random("dy", z...), DX: m.Sum(acc, "dx", z...), Acc: acc}}
			})
		}
	}
	s.one("softmax of large numbers", func(m *Memory) kernels.Op {
		return &kernels.Softmax{X: m.Spread("x", 500, 40, 5, 33), Y: m.Out("y", 5, 33)}
	})
	for _, z := range [][2]int{{1, 1}, {3, 5}, {32, 10}, {70, 100}, {4, 1000}, {9, 17}} {
		for _, smooth := range []float32{0, 0.1} {
			s.one("softmaxxent "+dims(z[:]...)+flags("smooth", smooth > 0), func(m *Memory) kernels.Op {
				return xent(m, m.Spread("z", 1, 3, z[0], z[1]), smooth)
			})
		}
		s.one("softmaxxent "+dims(z[:]...)+" without gradient, equal logits", func(m *Memory) kernels.Op {
			o := xent(m, m.Coarse("z", z[0], z[1]), 0)
			o.DLogits = nil
			return o
		})
	}
}

// xent is the loss of logits z; some rows do not count.
func xent(m *Memory, z *kernels.Tensor, smooth float32) *kernels.SoftmaxXent {
	n := z.Dim(0)
	return &kernels.SoftmaxXent{Logits: z, Target: m.Index("target", -1, z.Dim(1), n), Loss: m.Out("loss", n), Hit: m.Out("hit", n),
		DLogits: m.Out("dz", z.Shape...), Smooth: smooth}
}
