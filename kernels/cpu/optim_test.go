package cpu

import (
	"fmt"
	"math"
	"testing"

	"github.com/espalier-ml/espalier/kernels"
)

// optimCase is a parameter and how it has grown.
type optimCase struct {
	name   string
	blocks kernels.Blocks
}

func optimCases() []optimCase {
	steps := func(n int, at ...int) []int32 { // block 0 up to at[0], then 1, …
		b := make([]int32, n)
		for i := range b {
			for _, a := range at {
				if i >= a {
					b[i]++
				}
			}
		}
		return b
	}
	repeated := func(b []int32, times int) (out []int32) {
		for range times {
			out = append(out, b...)
		}
		return out
	}
	return []optimCase{
		{"flat", kernels.Blocks{Rows: 1, Cols: 1003, N: 1}},
		{"large", kernels.Blocks{Rows: 300, Cols: 257, N: 1}},
		{"bias", kernels.Blocks{Rows: 1, Cols: 37, ColBlock: steps(37, 16, 32), N: 3}},
		{"linear", kernels.Blocks{Rows: 70, Cols: 300, RowBlock: steps(70, 20, 50), ColBlock: steps(300, 100, 200), N: 3}},
		{"convolution", kernels.Blocks{Rows: 9 * 24, Cols: 24, RowBlock: repeated(steps(24, 8, 16), 9), ColBlock: steps(24, 8, 16), N: 3}},
		{"columns", kernels.Blocks{Rows: 500, Cols: 100, ColBlock: steps(100, 37), N: 2}},
		{"rows", kernels.Blocks{Rows: 130, Cols: 3, RowBlock: steps(130, 1, 64, 65), N: 4}},
	}
}

func TestSGD(t *testing.T) {
	var trials []trial
	for _, c := range optimCases() {
		n := c.blocks.Rows * c.blocks.Cols
		for k := range 6 {
			o := &kernels.SGD{W: f32("w", n), G: f32("g", n), Decay: 0.01, Blocks: c.blocks, Rates: f32("rates", c.blocks.N)}
			set := map[*kernels.Tensor]func(int) float32{}
			if k > 0 {
				o.M, o.FirstBlock = f32("m", n), f32("first", c.blocks.N)
				o.Momentum, o.Nesterov = 0.9, k%2 == 0
				o.Dampening = []float32{0, 0.25}[k/3%2]
				first := k > 3
				set[o.FirstBlock] = func(i int) float32 {
					if first && i == c.blocks.N-1 {
						return 1
					}
					return 0
				}
				if first && c.blocks.N == 1 { // never read
					set[o.M] = func(int) float32 { return float32(math.NaN()) }
				}
			}
			trials = append(trials, trial{name: fmt.Sprintf("%s,%d", c.name, k), op: o, set: set})
		}
	}
	runTrials(t, trials)
}

func TestAdam(t *testing.T) {
	var trials []trial
	for _, c := range optimCases() {
		n := c.blocks.Rows * c.blocks.Cols
		for _, decoupled := range []bool{false, true} {
			o := &kernels.Adam{W: f32("w", n), G: f32("g", n), M: f32("m", n), V: f32("v", n), Beta1: 0.9, Beta2: 0.999, Eps: 1e-8,
				Decay: 0.1, Decoupled: decoupled, Blocks: c.blocks,
				Rates: f32("rates", c.blocks.N), Corr1: f32("corr1", c.blocks.N), Corr2: f32("corr2", c.blocks.N)}
			trials = append(trials, trial{name: fmt.Sprintf("%s,decoupled=%v", c.name, decoupled), op: o, tol: 1e-4,
				set: map[*kernels.Tensor]func(int) float32{o.V: positive("v"), o.Corr2: positive("corr2")}})
		}
	}
	runTrials(t, trials)
}

func TestAvaGrad(t *testing.T) {
	var trials []trial
	for _, c := range optimCases() {
		n, blocks := c.blocks.Rows*c.blocks.Cols, c.blocks.N
		for k := range 4 {
			o := &kernels.AvaGrad{W: f32("w", n), G: f32("g", n), M: f32("m", n), V: f32("v", n), Beta1: 0.9, Beta2: 0.999, Eps: 1e-3,
				Decay: 0.1, Decoupled: k%2 == 0, Blocks: c.blocks,
				Rates: f32("rates", blocks), Corr1: f32("corr1", blocks), Corr2: f32("corr2", blocks)}
			set := map[*kernels.Tensor]func(int) float32{o.V: positive("v"), o.Corr2: positive("corr2")}
			if k < 3 {
				o.Gamma = f32("gamma", 1)
			}
			if k > 1 {
				o.Next, o.Squares = f32("next", blocks), f32("squares", blocks, 2)
				set[o.Next] = positive("next")
			}
			trials = append(trials, trial{name: fmt.Sprintf("%s,%d", c.name, k), op: o, tol: 1e-4, set: set, pairs: o.Squares})
		}
	}
	runTrials(t, trials)
}

func TestRateSquares(t *testing.T) {
	var trials []trial
	for _, c := range optimCases() {
		o := &kernels.RateSquares{V: f32("v", c.blocks.Rows*c.blocks.Cols), Corr: f32("corr", c.blocks.N), Eps: 1e-3, Blocks: c.blocks, Out: f32("out", c.blocks.N, 2)}
		trials = append(trials, trial{name: c.name, op: o, tol: 2e-7, pairs: o.Out,
			set: map[*kernels.Tensor]func(int) float32{o.V: positive("v"), o.Corr: positive("corr")}})
	}
	runTrials(t, trials)
}

func TestAdaBound(t *testing.T) {
	var trials []trial
	for _, c := range optimCases() {
		n := c.blocks.Rows * c.blocks.Cols
		of := func(name string) *kernels.Tensor { return f32(name, c.blocks.N) }
		for k := range 4 {
			o := &kernels.AdaBound{W: f32("w", n), G: f32("g", n), M: f32("m", n), V: f32("v", n), Beta2: 0.99, Eps: 1e-8,
				Decay: 0.01, Decoupled: k%2 == 0, Blocks: c.blocks,
				Rates: of("rates"), Beta1: of("beta1"), Scale: of("scale"), Lower: of("lower"), Upper: of("upper")}
			set := map[*kernels.Tensor]func(int) float32{o.V: positive("v"), o.Scale: positive("scale"),
				o.Beta1: func(i int) float32 { return 1 - 1/float32(i+2) },
				o.Lower: func(i int) float32 { return 0.5 }, o.Upper: func(i int) float32 { return 2 + float32(i) }}
			if k > 1 {
				o.Max = f32("max", n)
				set[o.Max] = positive("max")
			}
			if k == 3 {
				o.Eps, o.Box = 0, [2]float32{-0.5, 0.75}
				v := set[o.V]
				set[o.V] = func(i int) float32 { return v(i) * float32(i%2) } // a root of zero meets the upper bound
				g := func(i int) float32 { return sample("g", i) * float32(i%2) }
				set[o.G], set[o.W] = g, func(i int) float32 { return sample("w", i) * float32(i%2) }
				set[o.Max] = set[o.V]
			}
			trials = append(trials, trial{name: fmt.Sprintf("%s,%d", c.name, k), op: o, tol: 1e-4, set: set})
		}
	}
	runTrials(t, trials)
}

func TestBlockSquares(t *testing.T) {
	var trials []trial
	for _, c := range optimCases() {
		o := &kernels.BlockSquares{W: f32("w", c.blocks.Rows*c.blocks.Cols), Blocks: c.blocks, Out: f32("out", c.blocks.N)}
		trials = append(trials, trial{name: c.name, op: o, tol: 2e-7})
	}
	runTrials(t, trials)
}
