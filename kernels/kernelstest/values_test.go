package kernelstest

import (
	"math"
	"testing"

	"github.com/espalier-ml/espalier/kernels"
	"github.com/espalier-ml/espalier/kernels/cpu"
	"github.com/espalier-ml/espalier/kernels/philox"
)

// values is an op whose outputs are known, by hand or by definition.
type values struct {
	op   kernels.Op
	want map[*kernels.Tensor][]float64
}

type want = map[*kernels.Tensor][]float64

// of makes an operand of given numbers.
func (m *Memory) of(shape []int, v ...float32) *kernels.Tensor {
	return m.Fill("given", func(i int) float32 { return v[i] }, shape...)
}

// count makes an operand that holds 1, 2, 3, ….
func (m *Memory) count(shape ...int) *kernels.Tensor {
	return m.Fill("count", func(i int) float32 { return float32(i + 1) }, shape...)
}

var ln3 = float32(math.Log(3))

// The numbers of env: GradScale 1/4, Rate 1/8, GradFactor 1/2, WeightDecay 3/4.
var known = map[string]func(m *Memory) values{
	"matmul": func(m *Memory) values {
		c := m.Out("c", 2, 2)
		return values{&kernels.MatMul{A: m.count(2, 2), B: m.of([]int{2, 2}, 5, 6, 7, 8), C: c, Bias: m.of([]int{2}, 1, -100), Act: kernels.ReLU}, want{c: {20, 0, 44, 0}}}
	},
	"matmul transposed": func(m *Memory) values {
		c := m.Out("c", 2, 2)
		return values{&kernels.MatMul{A: m.count(2, 2), B: m.of([]int{2, 2}, 5, 6, 7, 8), C: c, TransA: true, TransB: true, Alpha: 2}, want{c: {46, 62, 68, 92}}}
	},
	"conv": func(m *Memory) values {
		y := m.Out("y", 1, 2, 2, 1)
		return values{&kernels.Conv2D{X: m.count(1, 3, 3, 1), W: m.count(2, 2, 1, 1), Y: y, Conv: kernels.Conv{Stride: 1, Groups: 1}}, want{y: {37, 47, 67, 77}}}
	},
	"conv strided and padded": func(m *Memory) values {
		y := m.Out("y", 1, 2, 2, 1)
		return values{&kernels.Conv2D{X: m.count(1, 3, 3, 1), W: m.count(3, 3, 1, 1), Y: y, Conv: kernels.Conv{Stride: 2, Pad: 1, Groups: 1}},
			want{y: {5*1 + 6*2 + 8*4 + 9*5, 4*2 + 5*3 + 7*5 + 8*6, 2*4 + 3*5 + 5*7 + 6*8, 1*5 + 2*6 + 4*8 + 5*9}}}
	},
	"conv by channel": func(m *Memory) values {
		y := m.Out("y", 1, 1, 1, 4)
		return values{&kernels.Conv2D{X: m.of([]int{1, 1, 1, 2}, 3, 5), W: m.of([]int{1, 1, 1, 4}, 1, 10, 100, 1000), Y: y, Conv: kernels.Conv{Stride: 1, Groups: 2}},
			want{y: {3, 30, 500, 5000}}}
	},
	"batchnorm": func(m *Memory) values {
		o := batchNorm(m, []int{2, 1}, true, false)
		o.X, o.Gamma, o.Beta, o.Eps = m.of([]int{2, 1}, 1, 5), m.of([]int{1}, 3), m.of([]int{1}, 0.5), 1e-12
		return values{o, want{o.Y: {0, 3.5}, o.Mean: {3}, o.Var: {4}, o.InvStd: {0.5}}}
	},
	"batchnorminfer": func(m *Memory) values {
		o := batchNormInfer(m, []int{2, 1}, false, false)
		o.X, o.Gamma, o.Beta, o.Mean, o.Var, o.Eps = m.of([]int{2, 1}, 1, 5), m.of([]int{1}, 3), m.of([]int{1}, 0.5), m.of([]int{1}, 1), m.of([]int{1}, 3), 1
		return values{o, want{o.Y: {0.5, 6.5}}}
	},
	"layernorm": func(m *Memory) values {
		o := layerNorm(m, []int{1, 2}, false)
		o.X, o.Gamma, o.Beta, o.Eps = m.of([]int{1, 2}, 1, 5), m.of([]int{2}, 3, 4), m.of([]int{2}, 0.5, 1), 1e-12
		return values{o, want{o.Y: {-2.5, 5}, o.Mean: {3}, o.InvStd: {0.5}}}
	},
	"layernorm rms": func(m *Memory) values {
		o := layerNorm(m, []int{1, 2}, true)
		o.X, o.Gamma, o.Eps = m.of([]int{1, 2}, 1, 7), m.of([]int{2}, 5, 10), 1e-12
		return values{o, want{o.Y: {1, 14}, o.InvStd: {0.2}}}
	},
	"softmax": func(m *Memory) values {
		y := m.Out("y", 1, 2)
		return values{&kernels.Softmax{X: m.of([]int{1, 2}, 1000, 1000+ln3), Y: y}, want{y: {0.25, 0.75}}}
	},
	"softmaxxent": func(m *Memory) values {
		o := xent(m, m.of([]int{1, 2}, 0, ln3), 0)
		cpu.I32(o.Target)[0] = 1
		return values{o, want{o.Loss: {-math.Log(0.75)}, o.Hit: {1}, o.DLogits: {0.0625, -0.0625}}}
	},
	"softmaxxent smoothed": func(m *Memory) values {
		o := xent(m, m.of([]int{1, 2}, 0, ln3), 0.5)
		cpu.I32(o.Target)[0] = 0
		return values{o, want{o.Loss: {-0.75*math.Log(0.25) - 0.25*math.Log(0.75)}, o.Hit: {0}, o.DLogits: {-0.125, 0.125}}}
	},
	"softmaxxent without target": func(m *Memory) values {
		o := xent(m, m.of([]int{1, 2}, 0, ln3), 0.5)
		cpu.I32(o.Target)[0] = -1
		return values{o, want{o.Loss: {0}, o.Hit: {0}, o.DLogits: {0, 0}}}
	},
	"gelu":    act(kernels.GELU, -0.15880801, 0, 0.84119199),
	"silu":    act(kernels.SiLU, -0.26894142, 0, 0.73105858),
	"tanh":    act(kernels.Tanh, -0.76159416, 0, 0.76159416),
	"sigmoid": act(kernels.Sigmoid, 0.26894142, 0.5, 0.73105858),
	"relu":    act(kernels.ReLU, 0, 0, 1),
	"none":    act(kernels.NoAct, -1, 0, 1),
	"binary": func(m *Memory) values {
		y := m.count(2, 2)
		return values{&kernels.Binary{A: m.count(2, 2), B: m.of([]int{2}, 10, 20), Y: y, Fn: kernels.Mul, Acc: true}, want{y: {11, 42, 33, 84}}}
	},
	"axpby": func(m *Memory) values {
		y := m.count(3)
		return values{&kernels.Axpby{X: m.count(3), Y: y, Alpha: 10, Beta: -1}, want{y: {9, 18, 27}}}
	},
	"dropout": func(m *Memory) values {
		x, y, kept := m.count(22), m.Out("y", 22), make([]float64, 22)
		for i := range kept {
			w := philox.NewKey(env.Seed, "dropout").At(philox.Counter{uint32(i / 4), 7, uint32(env.Shard), uint32(env.Step)})
			if philox.Uniform(w[i%4]) >= 0.75 {
				kept[i] = 4 * float64(i+1)
			}
		}
		return values{&kernels.Dropout{X: x, Y: y, P: 0.75, ID: 7}, want{y: kept}}
	},
	"fake quantization": func(m *Memory) values {
		x, y := m.of([]int{2, 4}, 7, -1.4, 0.5, 1.5, 0, 14, -5, 2.9), m.Out("y", 2, 4)
		return values{&kernels.FakeQuant{X: x, Y: y, Mode: m.of([]int{1}, 2), Rows: 2, Bits: 4}, want{y: {7, -1, 0, 2, 0, 14, -4, 2}}}
	},
	"transpose": func(m *Memory) values {
		y := m.Out("y", 3, 1, 2)
		return values{&kernels.Transpose{X: m.count(2, 3, 1), Y: y, Perm: []int{1, 2, 0}}, want{y: {1, 4, 2, 5, 3, 6}}}
	},
	"slab": func(m *Memory) values {
		y := m.of([]int{2, 2}, 0, 0, 0, 0)
		return values{&kernels.Slab{X: m.count(2, 3), Y: y, Axis: 1, From: 2, To: 1, Len: 1}, want{y: {0, 3, 0, 6}}}
	},
	"gather": func(m *Memory) values {
		index, y := m.Index("index", 0, 1, 2), m.Out("y", 2, 2)
		copy(cpu.I32(index), []int32{2, 0})
		return values{&kernels.Gather{Table: m.count(3, 2), Index: index, Y: y}, want{y: {5, 6, 1, 2}}}
	},
	"gathergrad": func(m *Memory) values {
		index, d := m.Index("index", 0, 1, 3), m.Out("d", 3, 1)
		copy(cpu.I32(index), []int32{2, 0, 2})
		return values{&kernels.GatherGrad{DY: m.count(3, 1), Index: index, DTable: d}, want{d: {2, 0, 4}}}
	},
	"max pool": func(m *Memory) values {
		y := m.Out("y", 1, 2, 2, 1)
		return values{&kernels.Pool{X: m.count(1, 3, 3, 1), Y: y, Max: true, Window: 2, Stride: 2, Pad: 1}, want{y: {1, 3, 7, 9}}}
	},
	"max pool of equals": func(m *Memory) values {
		y, where := m.Out("y", 1, 1, 1, 1), m.Bytes("where", 1, 1, 1, 1)
		return values{&kernels.Pool{X: m.of([]int{1, 2, 2, 1}, -5, -3, -3, -3), Y: y, Where: where, Max: true, Window: 2, Stride: 1}, want{y: {-3}, where: {1}}}
	},
	"average pool": func(m *Memory) values {
		y := m.Out("y", 1, 2, 2, 1)
		return values{&kernels.Pool{X: m.count(1, 3, 3, 1), Y: y, Window: 2, Stride: 2, Pad: 1}, want{y: {1, 2.5, 5.5, 7}}}
	},
	"global pool": func(m *Memory) values {
		y := m.Out("y", 1, 2)
		return values{&kernels.GlobalPool{X: m.count(1, 2, 1, 2), Y: y}, want{y: {2, 3}}}
	},
	"reduce": func(m *Memory) values {
		y := m.Out("y", 2, 1)
		return values{&kernels.Reduce{X: m.count(2, 3, 1), Y: y, Axis: 1}, want{y: {6, 15}}}
	},
	"expand": func(m *Memory) values {
		y := m.Out("y", 2, 2)
		return values{&kernels.Expand{X: m.count(2), Y: y, Axis: 0, Alpha: 3}, want{y: {3, 6, 3, 6}}}
	},
	"channelmap": func(m *Memory) values {
		y := m.Out("y", 1, 1, 2, 3)
		return values{&kernels.ChannelMap{X: m.count(1, 2, 3, 2), Y: y, Stride: 2, Map: []int32{1, -1, 0}}, want{y: {2, 0, 1, 6, 0, 5}}}
	},
	"attention": func(m *Memory) values { // one head of 1: scores q·k
		o := attention(m, 1, 2, 1, 1, false)
		o.QKV = m.of([]int{1, 2, 3}, 0, 0, 4, 1, ln3, 8)
		return values{o, want{o.O: {6, 7}, o.LSE: {math.Log(2), math.Log(4)}}}
	},
	"attention causal": func(m *Memory) values {
		o := attention(m, 1, 2, 1, 1, true)
		o.QKV = m.of([]int{1, 2, 3}, 0, 0, 4, 1, ln3, 8)
		return values{o, want{o.O: {4, 7}, o.LSE: {0, math.Log(4)}}}
	},
	"attention scale": func(m *Memory) values { // two heads of 4: scores q·k/2
		o := attention(m, 1, 1, 2, 4, false)
		o.QKV = m.Fill("qkv", func(i int) float32 { return float32(i / 4) }, 1, 1, 24) // q 0 1, k 2 3, v 4 5
		return values{o, want{o.O: {4, 4, 4, 4, 5, 5, 5, 5}, o.LSE: {0, 6}}}
	},
	"lstm": func(m *Memory) values { // gates σ(ln3) = 3/4 and tanh(ln3/2) = 1/2; then i, f, o of the second step see h
		o := lstm(m, 1, 2, 1)
		o.X = m.of([]int{1, 2, 4}, ln3, ln3, ln3/2, ln3, ln3, ln3, ln3/2, ln3)
		o.W = m.of([]int{1, 4}, 0, 0, 1, 0)
		h := 0.75 * math.Tanh(0.375)
		g := math.Tanh(math.Log(3)/2 + h)
		c := 0.75*0.375 + 0.75*g
		return values{o, want{o.C: {0.375, c}, o.H: {h, 0.75 * math.Tanh(c)}, o.Gates: {0.75, 0.75, 0.5, 0.75, 0.75, 0.75, g, 0.75}}}
	},
	"sgd": func(m *Memory) values { // g = 2/2 + 0.4·¾·1 = 1.3
		o := &kernels.SGD{W: m.of([]int{1, 1}, 1), G: m.of([]int{1, 1}, 2), M: m.of([]int{1, 1}, 1), Momentum: 0.9, Dampening: 0.5, Decay: 0.4, Nesterov: true,
			Blocks: kernels.Blocks{Rows: 1, Cols: 1, N: 1}, Rates: m.of([]int{1}, 2), FirstBlock: m.of([]int{1}, 0)}
		return values{o, want{o.M: {0.9 + 0.65}, o.W: {1 - 0.25*(1.3+0.9*1.55)}}}
	},
	"sgd first step": func(m *Memory) values {
		o := &kernels.SGD{W: m.of([]int{2, 1}, 1, 1), G: m.of([]int{2, 1}, 2, 2), M: m.of([]int{2, 1}, 1, 1), Momentum: 0.9, Dampening: 0.5,
			Blocks: kernels.Blocks{Rows: 2, Cols: 1, RowBlock: []int32{0, 1}, N: 2}, Rates: m.of([]int{2}, 1, 4), FirstBlock: m.of([]int{2}, 0, 1)}
		return values{o, want{o.M: {1.4, 1}, o.W: {1 - 1.4/8, 0.5}}}
	},
	"adam": func(m *Memory) values { // g = 2/2 + 0.4·¾·1 = 1.3
		o := adam(m)
		return values{o, want{o.M: {0.5*2 + 0.65}, o.V: {0.75*4 + 0.25*1.69}, o.W: {1 - 0.25*1.65*2/(math.Sqrt(3.4225*4)+0.5)}}}
	},
	"adamw": func(m *Memory) values { // g = 1
		o := adam(m)
		o.Decoupled = true
		return values{o, want{o.M: {1.5}, o.V: {3.25}, o.W: {1 - 0.25*(1.5*2/(math.Sqrt(13)+0.5)+0.3)}}}
	},
	"avagrad": func(m *Memory) values { // g = 1.3; the step divides by 4·√4+½
		o := avagrad(m)
		return values{o, want{o.M: {1.65}, o.V: {3.4225}, o.W: {1 - 0.25*3*2*1.65/8.5}, o.Squares: {0.16, 0}}} // 1/(1·√4+½)²
	},
	"avagradw without normaliser": func(m *Memory) values { // g = 1; decay ¾·0.4
		o := avagrad(m)
		o.Decoupled, o.Gamma, o.Next, o.Squares = true, nil, nil, nil
		return values{o, want{o.M: {1.5}, o.V: {3.25}, o.W: {1 - 0.25*(0.3+2*1.5/8.5)}}}
	},
	"ratesquares": func(m *Memory) values {
		out := m.Out("out", 2, 2)
		b := kernels.Blocks{Rows: 1, Cols: 3, ColBlock: []int32{0, 1, 1}, N: 2}
		return values{&kernels.RateSquares{V: m.of([]int{1, 3}, 9, 0, 1), Corr: m.of([]int{2}, 1, 1.5), Eps: 0.5, Blocks: b, Out: out},
			want{out: {1 / 12.25, 1/12.25 - float64(float32(1/12.25)), 4 + 0.25, 0}}}
	},
	"adabound": func(m *Memory) values { // g = 1.3; 2/(√3.4225+½) = 0.85 is below the lower bound
		o := adabound(m)
		return values{o, want{o.M: {1.65}, o.V: {3.4225}, o.W: {1 - 0.25*0.9*1.65}}}
	},
	"adaboundw": func(m *Memory) values { // g = 1; decay ¾·0.4 whatever the rate
		o := adabound(m)
		o.Decoupled, o.Lower = true, m.of([]int{1}, 0)
		return values{o, want{o.M: {1.5}, o.V: {3.25}, o.W: {1 - 0.3 - 0.25*1.5*2/(math.Sqrt(3.25)+0.5)}}}
	},
	"amsbound in a box": func(m *Memory) values { // 2/(√(9/4)+½) = 1 is above the upper bound
		o := adabound(m)
		o.V, o.Max, o.Upper, o.Lower, o.Box = m.of([]int{1}, 0), m.of([]int{1}, 2.25), m.of([]int{1}, 0.75), m.of([]int{1}, 0), [2]float32{0.8, 2}
		return values{o, want{o.V: {0.25 * 1.69}, o.Max: {2.25}, o.W: {0.8}}} // 1 - ¼·¾·1.65 = 0.69
	},
	"blocksquares": func(m *Memory) values {
		out := m.Out("out", 3)
		b := kernels.Blocks{Rows: 2, Cols: 2, RowBlock: []int32{0, 1}, ColBlock: []int32{0, 1}, N: 3}
		return values{&kernels.BlockSquares{W: m.count(2, 2), Blocks: b, Out: out}, want{out: {1, 29, 0}}}
	},
}

func act(fn kernels.Act, atMinus1, at0, at1 float64) func(m *Memory) values {
	return func(m *Memory) values {
		y := m.Out("y", 3)
		return values{&kernels.Unary{X: m.of([]int{3}, -1, 0, 1), Y: y, Fn: fn}, want{y: {atMinus1, at0, at1}}}
	}
}

func adam(m *Memory) *kernels.Adam {
	one := []int{1}
	return &kernels.Adam{W: m.of(one, 1), G: m.of(one, 2), M: m.of(one, 2), V: m.of(one, 4), Beta1: 0.5, Beta2: 0.75, Eps: 0.5, Decay: 0.4,
		Blocks: kernels.Blocks{Rows: 1, Cols: 1, N: 1}, Rates: m.of(one, 2), Corr1: m.of(one, 2), Corr2: m.of(one, 4)}
}

func avagrad(m *Memory) *kernels.AvaGrad {
	one := []int{1}
	return &kernels.AvaGrad{W: m.of(one, 1), G: m.of(one, 2), M: m.of(one, 2), V: m.of(one, 4), Beta1: 0.5, Beta2: 0.75, Eps: 0.5, Decay: 0.4,
		Blocks: kernels.Blocks{Rows: 1, Cols: 1, N: 1}, Rates: m.of(one, 2), Corr1: m.of(one, 2), Corr2: m.of(one, 4), Gamma: m.of(one, 3),
		Next: m.of(one, 1), Squares: m.Out("squares", 1, 2)}
}

func adabound(m *Memory) *kernels.AdaBound {
	one := []int{1}
	return &kernels.AdaBound{W: m.of(one, 1), G: m.of(one, 2), M: m.of(one, 2), V: m.of(one, 4), Beta2: 0.75, Eps: 0.5, Decay: 0.4,
		Blocks: kernels.Blocks{Rows: 1, Cols: 1, N: 1}, Rates: m.of(one, 2), Beta1: m.of(one, 0.5), Scale: m.of(one, 2),
		Lower: m.of(one, 0.9), Upper: m.of(one, 3)}
}

func TestKnownValues(t *testing.T) {
	ref := Reference(t)
	for name, f := range known {
		t.Run(name, func(t *testing.T) {
			m := newMemory(t, ref, 0)
			defer m.close()
			v := f(m)
			exe, err := ref.Compile([]kernels.Op{v.op})
			if err != nil {
				t.Fatal(err)
			}
			defer exe.Close()
			if err := exe.Run(&env, nil); err != nil {
				t.Fatal(err)
			}
			for x, want := range v.want {
				for i, got := range numbers(x) {
					if !(math.Abs(got-want[i]) <= 3e-5*math.Abs(want[i])+1e-7) {
						t.Errorf("%v: element %d is %g, want %g", x, i, got, want[i])
					}
				}
			}
		})
	}
}

// numbers returns what x holds.
func numbers(x *kernels.Tensor) (v []float64) {
	if x.DType == kernels.U8 {
		for _, u := range cpu.U8(x) {
			v = append(v, float64(u))
		}
		return v
	}
	for _, f := range cpu.F32(x) {
		v = append(v, float64(f))
	}
	return v
}
