package kernelstest

import (
	"fmt"

	"github.com/espalier-ml/espalier/kernels"
)

// conv is one geometry: images [n,h,w,c] to k channels, square window.
type conv struct {
	n, h, w, c, k, window int
	kernels.Conv
}

var convs = []conv{
	{1, 1, 1, 1, 1, 1, kernels.Conv{Stride: 1, Groups: 1}},
	{2, 8, 8, 16, 16, 3, kernels.Conv{Stride: 1, Pad: 1, Groups: 1}},
	{3, 8, 6, 24, 16, 3, kernels.Conv{Stride: 1, Pad: 1, Groups: 1}},
	{2, 8, 8, 16, 32, 3, kernels.Conv{Stride: 2, Pad: 1, Groups: 1}},
	{3, 7, 5, 3, 16, 3, kernels.Conv{Stride: 1, Pad: 1, Groups: 1}},
	{1, 5, 6, 1, 1, 3, kernels.Conv{Stride: 1, Pad: 1, Groups: 1}},
	{5, 7, 11, 7, 9, 3, kernels.Conv{Stride: 1, Pad: 1, Groups: 1}},
	{1, 9, 9, 8, 24, 5, kernels.Conv{Stride: 2, Pad: 2, Groups: 1}},
	{1, 16, 16, 3, 8, 7, kernels.Conv{Stride: 2, Pad: 3, Groups: 1}},
	{1, 6, 7, 32, 32, 3, kernels.Conv{Stride: 1, Groups: 1}},
	{1, 4, 5, 64, 64, 3, kernels.Conv{Stride: 1, Pad: 1, Groups: 1}},
	{2, 5, 8, 20, 28, 3, kernels.Conv{Stride: 1, Pad: 1, Groups: 1}},
	{2, 5, 7, 17, 33, 3, kernels.Conv{Stride: 1, Pad: 1, Groups: 1}},
	{9, 3, 3, 16, 32, 3, kernels.Conv{Stride: 1, Pad: 1, Groups: 1}},
	{70, 3, 2, 8, 8, 3, kernels.Conv{Stride: 1, Pad: 1, Groups: 1}},
	{2, 3, 3, 4, 5, 3, kernels.Conv{Stride: 1, Groups: 1}},
	{2, 8, 8, 6, 10, 4, kernels.Conv{Stride: 2, Pad: 1, Groups: 1}},
	{2, 9, 8, 5, 6, 2, kernels.Conv{Stride: 3, Groups: 1}},
	{2, 5, 32, 16, 16, 3, kernels.Conv{Stride: 1, Pad: 1, Groups: 1}},
	{2, 6, 6, 16, 32, 1, kernels.Conv{Stride: 1, Groups: 1}},
	{2, 7, 7, 16, 32, 1, kernels.Conv{Stride: 2, Groups: 1}},
	{3, 5, 5, 13, 7, 1, kernels.Conv{Stride: 1, Groups: 1}},
	{2, 4, 4, 128, 96, 1, kernels.Conv{Stride: 1, Groups: 1}},
	{2, 8, 8, 32, 32, 3, kernels.Conv{Stride: 1, Pad: 1, Groups: 32}},
	{2, 9, 7, 16, 16, 3, kernels.Conv{Stride: 2, Pad: 1, Groups: 16}},
	{3, 6, 5, 13, 13, 3, kernels.Conv{Stride: 1, Pad: 1, Groups: 13}},
	{2, 9, 9, 24, 24, 5, kernels.Conv{Stride: 1, Pad: 2, Groups: 24}},
	{2, 5, 5, 4, 8, 3, kernels.Conv{Stride: 1, Pad: 1, Groups: 4}},
	{2, 5, 5, 8, 12, 3, kernels.Conv{Stride: 1, Pad: 1, Groups: 2}},
	{2, 6, 6, 32, 32, 3, kernels.Conv{Stride: 2, Pad: 1, Groups: 4}},
}

func (g conv) String() string {
	return fmt.Sprintf("%s to %d window %d stride %d pad %d groups %d", dims(g.n, g.h, g.w, g.c), g.k, g.window, g.Stride, g.Pad, g.Groups)
}

func (g conv) x() []int { return []int{g.n, g.h, g.w, g.c} }
func (g conv) y() []int { return []int{g.n, g.Out(g.h, g.window), g.Out(g.w, g.window), g.k} }
func (g conv) weights() []int {
	return []int{g.window, g.window, g.c / g.Groups, g.k}
}

func (s *suite) conv() {
	for _, g := range convs {
		for _, epilogue := range both {
			s.one("conv2d "+g.String()+flags("bias relu", epilogue), func(m *Memory) kernels.Op {
				o := &kernels.Conv2D{X: m.Random("x", g.x()...), W: m.Random("w", g.weights()...), Y: m.Out("y", g.y()...), Conv: g.Conv}
				if epilogue {
					o.Bias, o.Act = m.Random("bias", g.k), kernels.ReLU
				}
				return o
			})
		}
		for _, acc := range both {
			s.one("convinput "+g.String()+flags("acc", acc), func(m *Memory) kernels.Op {
				return &kernels.ConvInput{DY: m.Random("dy", g.y()...), W: m.Random("w", g.weights()...), DX: m.Sum(acc, "dx", g.x()...), Conv: g.Conv, Acc: acc}
			})
			s.one("convweight "+g.String()+flags("acc", acc), func(m *Memory) kernels.Op {
				return &kernels.ConvWeight{X: m.Random("x", g.x()...), DY: m.Random("dy", g.y()...), DW: m.Sum(acc, "dw", g.weights()...), Conv: g.Conv, Acc: acc}
			})
		}
	}
	s.one("conv2d bias without relu", func(m *Memory) kernels.Op {
		return &kernels.Conv2D{X: m.Random("x", 2, 5, 5, 16), W: m.Random("w", 3, 3, 16, 16), Y: m.Out("y", 2, 5, 5, 16),
			Conv: kernels.Conv{Stride: 1, Pad: 1, Groups: 1}, Bias: m.Random("bias", 16)}
	})
	s.one("conv2d oblong window", func(m *Memory) kernels.Op {
		return &kernels.Conv2D{X: m.Random("x", 2, 5, 7, 16), W: m.Random("w", 1, 3, 16, 16), Y: m.Out("y", 2, 7, 7, 16),
			Conv: kernels.Conv{Stride: 1, Pad: 1, Groups: 1}}
	})
}
