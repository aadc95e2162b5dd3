package kernelstest

import (
	"fmt"
	"math"
	"testing"

	"github.com/espalier-ml/espalier/kernels"
	"github.com/espalier-ml/espalier/kernels/cpu"
)

// gradient relates a backward op of the reference to its forward op. With a
// scalar L = Σ dy·y over the outputs, dx must be ∂L/∂x for every pair.
type gradient struct {
	name     string
	forward  []kernels.Op
	backward []kernels.Op
	outputs  []pair // y and the dy that backward reads
	inputs   []pair // x and the dx that backward writes or, with acc, adds to
	acc      bool
	step     float64 // of the difference; large where forward is linear
	scale    float64 // of dx: 1 but for the loss
}

type pair struct{ x, dx *kernels.Tensor }

// Steps: a linear op knows no truncation, so the largest step is the best;
// a curved one is measured by a difference of fourth order.
const (
	straight = 1.0
	curved   = 1.0 / 64
)

func TestGradients(t *testing.T) {
	ref := Reference(t)
	for _, g := range gradients {
		for _, acc := range both {
			m := newMemory(t, ref, 0)
			c := g(m, acc)
			if !c.acc && acc {
				continue // the op does not accumulate
			}
			m.enter(c.name)
			t.Run(c.name+flags("acc", c.acc), func(t *testing.T) { c.check(t, ref) })
			m.close()
		}
	}
}

func (g *gradient) check(t *testing.T, d kernels.Device) {
	forward, err := d.Compile(g.forward)
	if err != nil {
		t.Fatal(err)
	}
	backward, err := d.Compile(g.backward)
	if err != nil {
		t.Fatal(err)
	}
	defer forward.Close()
	defer backward.Close()
	run := func(e kernels.Executable) {
		if err := e.Run(&env, nil); err != nil {
			t.Fatal(err)
		}
	}
	loss := func() (sum float64) {
		run(forward)
		for _, p := range g.outputs {
			for i, y := range cpu.F32(p.x) {
				sum += float64(y) * float64(cpu.F32(p.dx)[i])
			}
		}
		return sum
	}
	before := make([][]float32, len(g.inputs))
	for i, p := range g.inputs {
		before[i] = append(before[i], cpu.F32(p.dx)...)
	}
	run(forward)
	run(backward)
	for k, p := range g.inputs {
		x, dx := cpu.F32(p.x), cpu.F32(p.dx)
		want := make([]float64, len(x))
		largest := 0.0
		for i := range x {
			want[i] = g.scale * slope(&x[i], g.step, loss)
			largest = max(largest, math.Abs(want[i]))
		}
		for i := range x {
			got := float64(dx[i])
			if g.acc {
				got -= float64(before[k][i])
			}
			if off := math.Abs(got - want[i]); !(off <= 1e-4*largest+2e-6) {
				t.Errorf("gradient by %v, element %d: %g, difference says %g (largest %g, seed %d)", p.x, i, got, want[i], largest, Seed)
				break
			}
		}
	}
}

// slope measures the derivative of f by *x: central differences over h and
// 2h, combined so that the error is of order h⁴.
func slope(x *float32, h float64, f func() float64) float64 {
	at := *x
	probe := func(d float64) (y, moved float64) {
		*x = float32(float64(at) + d)
		moved = float64(*x) - float64(at)
		y = f()
		*x = at
		return y, moved
	}
	diff := func(h float64) float64 {
		up, a := probe(h)
		down, b := probe(-h)
		return (up - down) / (a - b)
	}
	return (4*diff(h) - diff(2*h)) / 3
}

// like makes a gradient operand for x.
func (m *Memory) like(x *kernels.Tensor, acc bool) *kernels.Tensor {
	return m.Sum(acc, "d"+x.Name, x.Shape...)
}

// upstream makes the gradient that reaches output y.
func (m *Memory) upstream(y *kernels.Tensor) pair { return pair{y, m.Random("d"+y.Name, y.Shape...)} }

var gradients = []func(m *Memory, acc bool) gradient{
	gradMatMul(false, false), gradMatMul(true, false), gradMatMul(false, true),
	gradConv(conv{2, 5, 4, 3, 4, 3, kernels.Conv{Stride: 1, Pad: 1, Groups: 1}}),
	gradConv(conv{1, 6, 5, 4, 6, 3, kernels.Conv{Stride: 2, Pad: 1, Groups: 2}}),
	gradConv(conv{2, 4, 5, 3, 3, 2, kernels.Conv{Stride: 1, Groups: 3}}),
	gradSumRows,
	gradBatchNorm(false, false), gradBatchNorm(true, false), gradBatchNorm(true, true),
	gradLayerNorm(false), gradLayerNorm(true),
	gradSoftmax, gradXent(0), gradXent(0.1),
	gradUnary(kernels.NoAct), gradUnary(kernels.ReLU), gradUnary(kernels.GELU), gradUnary(kernels.SiLU), gradUnary(kernels.Tanh), gradUnary(kernels.Sigmoid),
	gradDropout, gradTranspose, gradSlab, gradGather,
	gradPool(false), gradPool(true), gradGlobalPool, gradReduce(false), gradReduce(true), gradChannelMap,
	gradAttention(false), gradAttention(true), gradLSTM,
}

// gradMatMul: dA = dC·Bᵀ and dB = Aᵀ·dC, in the form that suits the layout.
func gradMatMul(transA, transB bool) func(m *Memory, acc bool) gradient {
	return func(m *Memory, acc bool) gradient {
		m.enter("matmul gradient")
		shape := func(trans bool, i, j int) []int {
			if trans {
				return []int{j, i}
			}
			return []int{i, j}
		}
		a, b := m.Random("a", shape(transA, 3, 5)...), m.Random("b", shape(transB, 5, 4)...)
		c := m.upstream(m.Out("c", 3, 4))
		da, db := m.like(a, acc), m.like(b, acc)
		byA := &kernels.MatMul{A: c.dx, B: b, C: da, TransB: !transB, Acc: acc, Alpha: 0.5}
		if transA {
			byA = &kernels.MatMul{A: b, B: c.dx, C: da, TransA: transB, TransB: true, Acc: acc, Alpha: 0.5}
		}
		byB := &kernels.MatMul{A: a, B: c.dx, C: db, TransA: !transA, Acc: acc, Alpha: 0.5}
		if transB {
			byB = &kernels.MatMul{A: c.dx, B: a, C: db, TransA: true, TransB: transA, Acc: acc, Alpha: 0.5}
		}
		return gradient{
			name:     "matmul" + flags("transA", transA, "transB", transB),
			forward:  []kernels.Op{&kernels.MatMul{A: a, B: b, C: c.x, TransA: transA, TransB: transB, Alpha: 0.5}},
			backward: []kernels.Op{byA, byB},
			outputs:  []pair{c}, inputs: []pair{{a, da}, {b, db}}, acc: acc, step: straight, scale: 1,
		}
	}
}

func gradConv(g conv) func(m *Memory, acc bool) gradient {
	return func(m *Memory, acc bool) gradient {
		m.enter(g.String())
		x, w, bias := m.Random("x", g.x()...), m.Random("w", g.weights()...), m.Random("bias", g.k)
		y := m.upstream(m.Out("y", g.y()...))
		dx, dw, dbias := m.like(x, acc), m.like(w, acc), m.like(bias, acc)
		return gradient{
			name:    "conv " + g.String(),
			forward: []kernels.Op{&kernels.Conv2D{X: x, W: w, Y: y.x, Bias: bias, Conv: g.Conv}},
			backward: []kernels.Op{&kernels.ConvInput{DY: y.dx, W: w, DX: dx, Conv: g.Conv, Acc: acc},
				&kernels.ConvWeight{X: x, DY: y.dx, DW: dw, Conv: g.Conv, Acc: acc}, &kernels.SumRows{X: y.dx, Y: dbias, Acc: acc}},
			outputs: []pair{y}, inputs: []pair{{x, dx}, {w, dw}, {bias, dbias}}, acc: acc, step: straight, scale: 1,
		}
	}
}

// gradSumRows: the operand of a broadcast addition, by its leading axes.
func gradSumRows(m *Memory, acc bool) gradient {
	m.enter("broadcast")
	a, b := m.Random("a", 4, 3, 5), m.Random("b", 3, 5)
	y := m.upstream(m.Out("y", 4, 3, 5))
	db := m.like(b, acc)
	return gradient{
		name: "sumrows", forward: []kernels.Op{&kernels.Binary{A: a, B: b, Y: y.x, Fn: kernels.Sub}},
		backward: []kernels.Op{&kernels.SumRows{X: y.dx, Y: db, Acc: acc}, &kernels.Axpby{X: db, Y: db, Alpha: -1}},
		outputs:  []pair{y}, inputs: []pair{{b, db}}, step: straight, scale: 1,
	}
}

// gradBatchNorm keeps the ReLU's input away from 0 by a β of ±6.
func gradBatchNorm(relu, residual bool) func(m *Memory, acc bool) gradient {
	return func(m *Memory, acc bool) gradient {
		m.enter("batchnorm")
		f := batchNorm(m, []int{2, 3, 2, 4}, relu, residual)
		for i, b := range cpu.F32(f.Beta) {
			cpu.F32(f.Beta)[i] = b/8 + 6*float32(i%2*2-1)
		}
		y := m.upstream(f.Y)
		b := batchNormGrad(m, f, acc)
		b.DY = y.dx
		g := gradient{name: "batchnorm" + flags("relu", relu, "residual", residual), forward: []kernels.Op{f}, backward: []kernels.Op{b},
			outputs: []pair{y}, inputs: []pair{{f.X, b.DX}, {f.Gamma, b.DGamma}, {f.Beta, b.DBeta}}, step: 4 * curved, scale: 1} // outputs of 6 round coarsely
		if residual && acc {
			g.inputs, g.acc = []pair{{f.Residual, b.DResidual}}, true
		} else if residual {
			g.inputs = append(g.inputs, pair{f.Residual, b.DResidual})
		}
		return g
	}
}

func gradLayerNorm(rms bool) func(m *Memory, acc bool) gradient {
	return func(m *Memory, acc bool) gradient {
		m.enter("layernorm")
		f := layerNorm(m, []int{3, 7}, rms)
		y := m.upstream(f.Y)
		b := layerNormGrad(m, f, acc)
		b.DY = y.dx
		g := gradient{name: "layernorm" + flags("rms", rms), forward: []kernels.Op{f}, backward: []kernels.Op{b}, outputs: []pair{y}, step: curved, scale: 1, acc: acc}
		g.inputs = []pair{{f.X, b.DX}}
		if !acc {
			g.inputs = append(g.inputs, pair{f.Gamma, b.DGamma})
			if !rms {
				g.inputs = append(g.inputs, pair{f.Beta, b.DBeta})
			}
		}
		return g
	}
}

func gradSoftmax(m *Memory, acc bool) gradient {
	m.enter("softmax")
	x := m.Random("x", 3, 5)
	y := m.upstream(m.Out("y", 3, 5))
	dx := m.like(x, acc)
	return gradient{name: "softmax", forward: []kernels.Op{&kernels.Softmax{X: x, Y: y.x}},
		backward: []kernels.Op{&kernels.SoftmaxGrad{Y: y.x, DY: y.dx, DX: dx, Acc: acc}},
		outputs:  []pair{y}, inputs: []pair{{x, dx}}, acc: acc, step: curved, scale: 1}
}

// gradXent: the loss op is its own gradient, scaled by GradScale.
func gradXent(smooth float32) func(m *Memory, acc bool) gradient {
	return func(m *Memory, acc bool) gradient {
		m.enter("xent")
		f := xent(m, m.Random("z", 6, 5), smooth)
		dloss := m.Fill("dloss", func(int) float32 { return 1 }, 6)
		return gradient{name: fmt.Sprintf("softmaxxent smooth %g", smooth), forward: []kernels.Op{f}, backward: []kernels.Op{f},
			outputs: []pair{{f.Loss, dloss}}, inputs: []pair{{f.Logits, keepCopy(m, f)}}, step: curved, scale: float64(env.GradScale)}
	}
}

// keepCopy runs the loss once and returns its gradient apart, because every
// probe writes it anew.
func keepCopy(m *Memory, f *kernels.SoftmaxXent) *kernels.Tensor {
	exe, err := m.d.Compile([]kernels.Op{f})
	if err != nil {
		m.t.Fatal(err)
	}
	defer exe.Close()
	if err := exe.Run(&env, nil); err != nil {
		m.t.Fatal(err)
	}
	return m.Fill("dz kept", func(i int) float32 { return cpu.F32(f.DLogits)[i] }, f.Logits.Shape...)
}

// gradUnary keeps x away from the kink at 0.
func gradUnary(fn kernels.Act) func(m *Memory, acc bool) gradient {
	return func(m *Memory, acc bool) gradient {
		m.enter("unary")
		f := m.random("x")
		x := m.Fill("x", func(i int) float32 { return f(i) + float32(math.Copysign(0.2, float64(i%2)-0.5)) }, 40)
		for i, v := range cpu.F32(x) {
			if math.Abs(float64(v)) < 0.1 {
				cpu.F32(x)[i] = 0.5
			}
		}
		y := m.upstream(m.Out("y", 40))
		dx := m.like(x, acc)
		of := x
		if fn.FromOutput() {
			of = y.x
		}
		return gradient{name: "unary " + fn.String(), forward: []kernels.Op{&kernels.Unary{X: x, Y: y.x, Fn: fn}},
			backward: []kernels.Op{&kernels.UnaryGrad{X: of, DY: y.dx, DX: dx, Fn: fn, Acc: acc}},
			outputs:  []pair{y}, inputs: []pair{{x, dx}}, acc: acc, step: curved, scale: 1}
	}
}
