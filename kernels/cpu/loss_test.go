package cpu

import (
	"fmt"
	"testing"

	"github.com/espalier-ml/espalier/kernels"
)

func TestSoftmax(t *testing.T) {
	var trials []trial
	for _, s := range [][]int{{1}, {5, 10}, {4, 3, 33}, {16, 1000}, {3, 7}} {
		x, y, dy := f32("x", s...), f32("y", s...), f32("dy", s...)
		trials = append(trials, trial{name: fmt.Sprint(s), op: &kernels.Softmax{X: x, Y: y}})
		for _, acc := range []bool{false, true} {
			trials = append(trials, trial{name: fmt.Sprintf("gradient %v,acc=%v", s, acc), tol: 1e-4,
				op: &kernels.SoftmaxGrad{Y: x, DY: dy, DX: y, Acc: acc}})
		}
	}
	runTrials(t, trials)
}

func TestSoftmaxXent(t *testing.T) {
	var trials []trial
	for _, s := range [][2]int{{5, 10}, {33, 1}, {4, 37}, {20, 1003}, {2, 10}} {
		for _, smooth := range []float32{0, 0.1} {
			for _, grad := range []bool{false, true} {
				r, k := s[0], s[1]
				o := &kernels.SoftmaxXent{Logits: f32("logits", r, k), Target: i32("target", r), Loss: f32("loss", r), Hit: f32("hit", r), Smooth: smooth}
				if grad {
					o.DLogits = f32("dlogits", r, k)
				}
				trials = append(trials, trial{name: fmt.Sprintf("%v,smooth=%v,gradient=%v", s, smooth, grad), op: o,
					// all classes, rows that do not count and targets that are no class
					ints: map[*kernels.Tensor]func(int) int32{o.Target: func(i int) int32 { return int32(i*3%(k+2)) - 1 }},
					// large logits, whole numbers: some equal, so that the first counts
					set: map[*kernels.Tensor]func(int) float32{o.Logits: func(i int) float32 { return float32(int(3*sample("logits", i))) * 10 }}})
			}
		}
	}
	runTrials(t, trials)
}
