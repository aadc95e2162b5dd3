package cpu

import (
	"fmt"
	"math"
	"testing"

	"github.com/espalier-ml/espalier/kernels"
)

func positive(name string) func(i int) float32 {
	return func(i int) float32 { return float32(math.Abs(float64(sample(name, i)))) + 0.1 }
}

var bnShapes = [][]int{
	{8, 16, 16, 16}, {5, 7, 7, 3}, {3, 5, 5, 17}, {9, 4, 4, 64}, {2, 3, 3, 100}, {70, 2, 2, 31},
	{33, 24}, {4, 1}, {1, 3, 3, 8}, {6, 3, 1, 513}, {2, 2, 2, 2048}, {1, 1, 1, 5},
}

func TestBatchNorm(t *testing.T) {
	var trials []trial
	for _, s := range bnShapes {
		for k := range 4 {
			relu, res := k&1 != 0, k&2 != 0
			c := s[len(s)-1]
			o := &kernels.BatchNorm{X: f32("x", s...), Gamma: f32("gamma", c), Beta: f32("beta", c), Y: f32("y", s...),
				Mean: f32("mean", c), Var: f32("var", c), InvStd: f32("inv", c), ReLU: relu, Eps: 1e-5}
			i := &kernels.BatchNormInfer{X: o.X, Gamma: o.Gamma, Beta: o.Beta, Mean: o.Mean, Var: o.Var, Y: o.Y, ReLU: relu, Eps: 1e-5}
			if res {
				o.Residual = f32("residual", s...)
				i.Residual = o.Residual
			}
			name := fmt.Sprintf("%v,relu=%v,residual=%v", s, relu, res)
			trials = append(trials, trial{name: name, op: o, tol: 5e-5},
				trial{name: "infer," + name, op: i, set: map[*kernels.Tensor]func(int) float32{o.Var: positive("var")}})
		}
	}
	runTrials(t, trials)
}

func TestBatchNormGrad(t *testing.T) {
	var trials []trial
	for _, s := range bnShapes {
		for k := range 6 {
			relu, res := k&1 != 0, k/2
			c := s[len(s)-1]
			o := &kernels.BatchNormGrad{X: f32("x", s...), Y: f32("y", s...), DY: f32("dy", s...), Gamma: f32("gamma", c),
				Mean: f32("mean", c), InvStd: f32("inv", c), DX: f32("dx", s...), DGamma: f32("dgamma", c), DBeta: f32("dbeta", c), ReLU: relu}
			if res > 0 {
				o.DResidual, o.AccResidual = f32("dres", s...), res > 1
			}
			trials = append(trials, trial{name: fmt.Sprintf("%v,relu=%v,residual=%d", s, relu, res), op: o, tol: 5e-5,
				set: map[*kernels.Tensor]func(int) float32{o.InvStd: positive("inv")}})
		}
	}
	runTrials(t, trials)
}

// The variance must survive means that are large against it, also where the
// first pixels are far off, and NaN must not vanish.
func TestBatchNormHardInputs(t *testing.T) {
	for _, c := range []struct {
		name  string
		x     func(i int) float32
		exact float64 // tolerance of variance relative to the reference
	}{
		{"mean 1e4", func(i int) float32 { return 1e4 + sample("x", i) }, 1e-5},
		{"mean -1e6, std 100", func(i int) float32 { return -1e6 + 100*sample("x", i) }, 1e-5},
		{"outlier first", func(i int) float32 {
			if i < 24 {
				return 0
			}
			return 1e4 + sample("x", i)
		}, 1e-5},
		{"constant", func(i int) float32 { return 3 }, 0},
		{"NaN", func(i int) float32 {
			if i == 24*500+3 {
				return float32(math.NaN())
			}
			return sample("x", i)
		}, 1e-5},
	} {
		t.Run(c.name, func(t *testing.T) {
			needAVX2(t)
			o := &kernels.BatchNorm{X: f32("x", 16, 9, 9, 24), Gamma: f32("gamma", 24), Beta: f32("beta", 24), Y: f32("y", 16, 9, 9, 24),
				Mean: f32("mean", 24), Var: f32("var", 24), InvStd: f32("inv", 24), ReLU: true, Eps: 1e-5}
			r := trial{op: o, set: map[*kernels.Tensor]func(int) float32{o.X: c.x}}
			want, got := r.run(t, Options{Threads: 1, Portable: true}, false), r.run(t, Options{Threads: 2}, true)
			for _, y := range []*kernels.Tensor{o.Mean, o.Var} {
				v := floatsOf(got[y])
				for i, w := range floatsOf(want[y]) {
					if d := math.Abs(float64(v[i] - w)); !(d <= c.exact*math.Abs(float64(w))) && (w == w || v[i] == v[i]) {
						t.Errorf("%v: channel %d is %v, want %v", y, i, v[i], w)
					}
				}
			}
			for i, w := range floatsOf(want[o.Y]) {
				if g := floatsOf(got[o.Y])[i]; (g != g) != (w != w) {
					t.Fatalf("y[%d] is %v, want %v", i, g, w)
				}
			}
		})
	}
}

func TestLayerNorm(t *testing.T) {
	var trials []trial
	for _, s := range [][]int{{8, 16, 64}, {5, 7, 33}, {300, 128}, {3, 1}, {7}, {2, 3, 1000}} {
		for k := range 4 {
			rms, acc := k&1 != 0, k&2 != 0
			c := s[len(s)-1]
			rows := f32("", s...).Rows()
			o := &kernels.LayerNorm{X: f32("x", s...), Gamma: f32("gamma", c), Y: f32("y", s...), InvStd: f32("inv", rows), RMS: rms, Eps: 1e-5}
			g := &kernels.LayerNormGrad{X: o.X, DY: f32("dy", s...), Gamma: o.Gamma, InvStd: o.InvStd,
				DX: f32("dx", s...), DGamma: f32("dgamma", c), RMS: rms, Acc: acc}
			if !rms {
				o.Beta, o.Mean = f32("beta", c), f32("mean", rows)
				g.DBeta, g.Mean = f32("dbeta", c), o.Mean
			}
			name := fmt.Sprintf("%v,rms=%v,acc=%v", s, rms, acc)
			trials = append(trials, trial{name: name, op: o, tol: 1e-4},
				trial{name: "gradient," + name, op: g, tol: 1e-4, set: map[*kernels.Tensor]func(int) float32{g.InvStd: positive("inv")}})
		}
	}
	runTrials(t, trials)
}
