package graph_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/espalier-ml/espalier/kernels"
	"github.com/espalier-ml/espalier/kernels/cpu"
	"github.com/espalier-ml/espalier/kernels/philox"
	"github.com/espalier-ml/espalier/trainer/graph"
	"github.com/espalier-ml/espalier/trainer/models"
)

// bench is a traced and compiled training graph with memory for everything.
type bench struct {
	dev  *cpu.Device
	g    *graph.Graph
	prog *graph.Program
	rows int
}

func compile(t *testing.T, dev *cpu.Device, g *graph.Graph) *bench {
	t.Helper()
	alloc := func(x *kernels.Tensor) {
		if x == nil {
			return
		}
		b, err := dev.Alloc(x.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		x.Buf = b
		t.Cleanup(func() { b.Close() })
	}
	for _, p := range append(g.Params(), g.States()...) {
		alloc(p.W)
	}
	for _, r := range g.Reduced() {
		alloc(r.T)
	}
	prog, err := g.Compile(dev)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { prog.Close() })
	b := &bench{dev: dev, g: g, prog: prog, rows: prog.Loss().Len()}
	for _, p := range append(g.Params(), g.States()...) {
		p.Initial(7, cpu.F32(p.W))
	}
	b.fill()
	return b
}

// fill sets inputs, and disturbs norms and biases so that no gradient is
// trivially zero.
func (b *bench) fill() {
	key := philox.NewKey(3, "inputs")
	for _, name := range []string{"x", "y"} {
		in := b.prog.Input(name)
		n := in.Len()
		for i := range n {
			w := key.With(uint64(len(name) + int(name[0]))).Index(uint64(i))
			if in.DType == kernels.F32 {
				cpu.F32(in)[i] = philox.Normals(w)[0]
			} else {
				cpu.I32(in)[i] = int32(philox.Below(w[0], 5))
			}
		}
	}
	for k, p := range b.g.Params() {
		if len(p.Axes) == 1 {
			for i, v := range cpu.F32(p.W) {
				cpu.F32(p.W)[i] = v + 0.2*philox.Normals(key.With(uint64(100 + k)).Index(uint64(i)))[0]
			}
		}
	}
}

// loss runs the program and returns the mean loss in float64.
func (b *bench) loss(t *testing.T) float64 {
	t.Helper()
	if err := b.prog.Run(&kernels.Env{Seed: 1, GradScale: 1 / float32(b.rows)}, nil); err != nil {
		t.Fatal(err)
	}
	var s float64
	for _, v := range cpu.F32(b.prog.Loss()) {
		s += float64(v)
	}
	return s / float64(b.rows)
}

// checkGradients compares, for every parameter, the directional derivative
// along its own gradient (where the difference is largest against rounding)
// and along a random direction with central differences.
func (b *bench) checkGradients(t *testing.T, eps, tol float64) {
	t.Helper()
	b.loss(t)
	grads := make([][]float32, len(b.g.Params()))
	for i, p := range b.g.Params() {
		grads[i] = append([]float32(nil), cpu.F32(p.G)...)
	}
	for i, p := range b.g.Params() {
		w, g := cpu.F32(p.W), grads[i]
		var norm float64
		for _, v := range g {
			norm += float64(v) * float64(v)
		}
		norm = math.Sqrt(norm)
		if norm == 0 {
			t.Errorf("%s: gradient is zero everywhere", p.Name)
			continue
		}
		key := philox.NewKey(11, p.Name)
		mixed := make([]float32, len(g))
		var want float64
		for k, v := range g { // unit gradient plus a random part
			r := philox.Normals(key.Index(uint64(k)))[0] / float32(math.Sqrt(float64(len(g))))
			mixed[k] = v/float32(norm) + r
			want += float64(v) * float64(mixed[k])
		}
		got := b.derivative(t, w, mixed, eps/math.Max(1, norm))
		if math.Abs(got-want) > tol*(math.Abs(want)+norm)+2e-4 {
			t.Errorf("%v: derivative %.6g, gradient says %.6g (|g| = %.3g)", p, got, want, norm)
		}
	}
}

func (b *bench) derivative(t *testing.T, w, dir []float32, eps float64) float64 {
	saved := append([]float32(nil), w...)
	at := func(s float64) float64 {
		for i := range w {
			w[i] = saved[i] + float32(s)*dir[i]
		}
		return b.loss(t)
	}
	d := (at(eps) - at(-eps)) / (2 * eps)
	copy(w, saved)
	return d
}

func portable(t *testing.T) *cpu.Device {
	d, err := cpu.New(cpu.Options{Threads: 1, Portable: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// net is a small network on images [4,6,6,3] with 5 classes.
func net(t *testing.T, body func(g *graph.Graph, x *graph.Value) *graph.Value) *graph.Graph {
	t.Helper()
	g, err := graph.Trace(graph.Config{Train: true}, func(g *graph.Graph) {
		x := g.Input("x", kernels.F32, 4, 6, 6, 3)
		y := g.Input("y", kernels.I32, 4)
		g.Loss(body(g, x), y, 0.1)
		g.Backward()
	})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func weight(g *graph.Graph, name string, in, out graph.Axis) *graph.Value {
	return g.Param(name, graph.Weight(in, out))
}

// head classifies the mean over all positions of a value of rank 2 to 4.
func head(g *graph.Graph, v *graph.Value) *graph.Value {
	for len(v.Axes) > 2 {
		v = v.Mean(1)
	}
	return v.Linear(weight(g, "head", v.Last(), graph.Fixed(5)), nil)
}

// first makes 8 smooth features of every pixel.
func first(g *graph.Graph, x *graph.Value) *graph.Value {
	return x.Linear(weight(g, "first", x.Last(), graph.Fixed(8)), g.Param("first.b", graph.Vector(graph.Fixed(8), graph.InitZero))).Act(kernels.Tanh)
}

func TestGradientsOfOps(t *testing.T) {
	for _, c := range []struct {
		name string
		body func(g *graph.Graph, x *graph.Value) *graph.Value
	}{
		{"activations", func(g *graph.Graph, x *graph.Value) *graph.Value {
			h := first(g, x)
			return head(g, h.Act(kernels.GELU).Add(h.Act(kernels.SiLU)).Sub(h.Act(kernels.Sigmoid)).Mul(h.Act(kernels.Tanh)).Scale(1.5))
		}},
		{"value used three times", func(g *graph.Graph, x *graph.Value) *graph.Value {
			h := first(g, x)
			return head(g, h.Add(h).Add(h.Mul(h)))
		}},
		{"shared gradient of a sum is not changed in place", func(g *graph.Graph, x *graph.Value) *graph.Value {
			h := first(g, x)
			k := h.Linear(weight(g, "branch", h.Last(), graph.Fixed(8)), nil).Act(kernels.GELU)
			return head(g, h.Add(k))
		}},
		{"broadcast", func(g *graph.Graph, x *graph.Value) *graph.Value {
			h := first(g, x)
			pos := g.Param("pos", graph.ParamSpec{Axes: []graph.Axis{graph.Fixed(6), graph.Fixed(8)}, In: -1, Out: 1, Init: graph.InitStd, Gain: 1})
			gain := g.Param("gain", graph.Vector(graph.Fixed(8), graph.InitOne))
			return head(g, h.Add(pos).Mul(gain).Sub(pos).Act(kernels.Tanh))
		}},
		{"slice and concat", func(g *graph.Graph, x *graph.Value) *graph.Value {
			h := first(g, x)
			a, b := h.Slice(1, 0, 2), h.Slice(1, 3, 3)
			return head(g, graph.Concat(1, b, a, a.Act(kernels.SiLU)).Act(kernels.Tanh))
		}},
		{"transpose and batched products", func(g *graph.Graph, x *graph.Value) *graph.Value {
			h := first(g, x).Reshape(graph.Fixed(4), graph.Fixed(36), graph.Fixed(8))
			s := h.MatMul(h, false, true).Scale(0.3).Softmax() // [4,36,36]
			u := s.MatMul(h, true, false)
			return head(g, u.Transpose(0, 2, 1).Transpose(0, 2, 1).Add(h.Sum(1).Reshape(graph.Fixed(4), graph.Fixed(1), graph.Fixed(8)).MatMul(h, false, true).Transpose(0, 2, 1).MatMul(h.Slice(1, 0, 1), false, false)))
		}},
		{"tied output", func(g *graph.Graph, x *graph.Value) *graph.Value {
			h := first(g, x)
			w := weight(g, "tied", graph.Fixed(5), graph.Fixed(8))
			for len(h.Axes) > 2 {
				h = h.Mean(1)
			}
			return h.LinearT(w)
		}},
		{"pooling", func(g *graph.Graph, x *graph.Value) *graph.Value {
			h := first(g, x)
			return head(g, h.AvgPool(3, 2, 1).Add(h.MaxPool(2, 2, 0)))
		}},
		{"convolution with groups, stride and bias", func(g *graph.Graph, x *graph.Value) *graph.Value {
			h := first(g, x)
			w := g.Param("conv", graph.ParamSpec{Axes: []graph.Axis{graph.Fixed(3), graph.Fixed(3), graph.Fixed(4), graph.Fixed(6)}, In: 2, Out: 3, Init: graph.InitFanIn, Gain: 1})
			h = h.Conv(w, kernels.Conv{Stride: 2, Pad: 1, Groups: 2}, g.Param("conv.b", graph.Vector(graph.Fixed(6), graph.InitZero)))
			d := g.Param("dw", graph.Depthwise(3, graph.Fixed(6)))
			return head(g, h.Conv(d, kernels.Conv{Stride: 1, Pad: 1, Groups: 6}, nil).Act(kernels.Tanh))
		}},
		{"norms", func(g *graph.Graph, x *graph.Value) *graph.Value {
			h := first(g, x)
			v := func(n string, i graph.InitKind) *graph.Value { return g.Param(n, graph.Vector(graph.Fixed(8), i)) }
			h = h.LayerNorm(v("g1", graph.InitOne), v("b1", graph.InitZero), 1e-5).Act(kernels.Tanh)
			return head(g, h.RMSNorm(v("g2", graph.InitOne), 1e-5).Act(kernels.Tanh))
		}},
		{"dropout", func(g *graph.Graph, x *graph.Value) *graph.Value {
			return head(g, first(g, x).Dropout(0.4).Act(kernels.Tanh))
		}},
	} {
		t.Run(c.name, func(t *testing.T) { compile(t, portable(t), net(t, c.body)).checkGradients(t, 0.02, 0.01) })
	}
}

// Whole models: the chain of fused ops, shortcuts and accumulations.
func TestGradientsOfModels(t *testing.T) {
	small := models.Spec{Height: 8, Width: 8, Channels: 3, Classes: 5, Base: 4}
	text := models.Spec{Vocab: 5, Context: 6, Dim: 8, Layers: 2, Heads: 2, Inner: 12}
	for _, name := range []string{"mlp", "resnet-8", "resnet-18", "wrn-16-1", "lstm", "transformer"} {
		t.Run(name, func(t *testing.T) {
			s := small
			if name == "lstm" || name == "transformer" {
				s = text
			}
			s.Name, s.Hidden = name, []int{12, 12}
			g, err := models.Trace(s, graph.Config{Train: true}, 6)
			if err != nil {
				t.Fatal(err)
			}
			compile(t, portable(t), g).checkGradients(t, 0.001, 0.03)
		})
	}
}

// The fast kernels, in their interleaved schedule and planned memory, agree
// with the portable ones on whole models; any thread count gives equal bits.
func TestDevicesAgreeOnModels(t *testing.T) {
	if !cpu.HasAVX2() {
		t.Skip("no AVX2")
	}
	spec := models.Spec{Height: 16, Width: 16, Channels: 3, Classes: 5, Base: 6}
	for _, name := range []string{"mlp", "resnet-14", "vgg-11", "mobilenet", "lstm", "transformer"} {
		t.Run(name, func(t *testing.T) {
			s := spec
			if name == "lstm" || name == "transformer" {
				s = models.Spec{Vocab: 5, Context: 33, Dim: 24, Heads: 3}
			}
			s.Name, s.Hidden = name, []int{100, 70}
			var prints []string
			var base float64
			for i, o := range []cpu.Options{{Threads: 1, Portable: true}, {Threads: 1}, {Threads: 3}} {
				dev, err := cpu.New(o)
				if err != nil {
					t.Fatal(err)
				}
				defer dev.Close()
				g, err := models.Trace(s, graph.Config{Train: true}, 10)
				if err != nil {
					t.Fatal(err)
				}
				b := compile(t, dev, g)
				l := b.loss(t)
				if i == 0 {
					base = l
				} else if math.Abs(l-base) > 2e-4*math.Abs(base) {
					t.Errorf("%s: loss %v, portable %v", dev.Name(), l, base)
				}
				prints = append(prints, fingerprint(g))
			}
			if prints[1] != prints[2] {
				t.Error("1 and 3 threads give different gradients")
			}
		})
	}
}

func fingerprint(g *graph.Graph) string {
	h := uint64(14695981039346656037)
	for _, r := range g.Reduced() {
		for _, v := range cpu.F32(r.T) {
			h = (h ^ uint64(math.Float32bits(v))) * 1099511628211
		}
	}
	return fmt.Sprint(h)
}
