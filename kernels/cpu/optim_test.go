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

func TestBlockSquares(t *testing.T) {
	var trials []trial
	for _, c := range optimCases() {
		o := &kernels.BlockSquares{W: f32("w", c.blocks.Rows*c.blocks.Cols), Blocks: c.blocks, Out: f32("out", c.blocks.N)}
		trials = append(trials, trial{name: c.name, op: o, tol: 2e-7})
	}
	runTrials(t, trials)
}
