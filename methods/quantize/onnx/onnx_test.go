package onnx

import (
	"bytes"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/espalier-ml/espalier/kernels"
	"github.com/espalier-ml/espalier/kernels/cpu"
	"github.com/espalier-ml/espalier/kernels/lowbit"
	"github.com/espalier-ml/espalier/kernels/philox"
	"github.com/espalier-ml/espalier/methods/quantize"
	"github.com/espalier-ml/espalier/methods/quantize/packed"
	"github.com/espalier-ml/espalier/trainer/graph"
	"github.com/espalier-ml/espalier/trainer/models"
)

var specs = map[string]models.Spec{
	"mlp with norms":     {Name: "mlp", Hidden: []int{24, 16}, Norm: true, Height: 6, Width: 5, Channels: 2, Classes: 7},
	"mlp":                {Name: "mlp", Hidden: []int{24}, Height: 4, Width: 4, Channels: 1, Classes: 3},
	"residual":           {Name: "resnet-8", Base: 4, Height: 9, Width: 8, Channels: 3, Classes: 5},
	"residual projected": {Name: "resnet-18", Base: 4, Height: 8, Width: 8, Channels: 3, Classes: 5},
	"photographs":        {Name: "resnet-18", Base: 4, Stem: models.StemLarge, Height: 32, Width: 32, Channels: 3, Classes: 5},
	"transformer":        {Name: "transformer", Layers: 2, Dim: 32, Heads: 2, Inner: 48, Vocab: 17, Context: 6},
}

// parameters draws values for all parameters of a network, no norm trivial.
func parameters(t *testing.T, spec models.Spec) map[string][]float32 {
	t.Helper()
	g, err := models.Trace(spec, graph.Config{}, 1)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]float32{}
	for _, p := range slices.Concat(g.Params(), g.States()) {
		v := make([]float32, p.W.Len())
		p.Initial(3, v)
		noise := make([]float32, len(v))
		lowbit.Noise(noise, philox.NewKey(5, p.Name), philox.Counter{})
		for i := range v {
			switch {
			case p.Init == graph.InitOut:
				v[i] *= 4
			case len(p.Axes) == 1:
				v[i] += 0.4 * noise[i]
			}
		}
		all[p.Name] = v
	}
	return all
}

func sample(spec models.Spec, n int) (x []float32, tokens []int32) {
	if spec.Sequence() {
		for i := range n * spec.Context {
			tokens = append(tokens, int32(i*7%spec.Vocab))
		}
		return nil, tokens
	}
	x = make([]float32, n*spec.Height*spec.Width*spec.Channels)
	lowbit.Noise(x, philox.NewKey(9, "sample"), philox.Counter{})
	return x, nil
}

// ours runs the network on our own device.
func ours(t *testing.T, spec models.Spec, n int, place func(dev kernels.Device, g *graph.Graph), wrap func(kernels.Device) kernels.Device) []float32 {
	t.Helper()
	inner, err := cpu.New(cpu.Options{Threads: 1, Portable: true})
	if err != nil {
		t.Fatal(err)
	}
	defer inner.Close()
	dev := wrap(inner)
	g, err := models.Trace(spec, graph.Config{}, n)
	if err != nil {
		t.Fatal(err)
	}
	place(dev, g)
	prog, err := g.Compile(dev)
	if err != nil {
		t.Fatal(err)
	}
	defer prog.Close()
	x, tokens := sample(spec, n)
	if spec.Sequence() {
		err = dev.WriteI32(prog.Input("x"), tokens)
	} else {
		err = dev.WriteF32(prog.Input("x"), x)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := prog.Run(&kernels.Env{}, nil); err != nil {
		t.Fatal(err)
	}
	out := make([]float32, prog.Logits().Len())
	if err := dev.ReadF32(prog.Logits(), out); err != nil {
		t.Fatal(err)
	}
	return out
}

func theirs(t *testing.T, spec models.Spec, n int, file []byte) array {
	t.Helper()
	x, tokens := sample(spec, n)
	in := array{dims: []int{n, spec.Height, spec.Width, spec.Channels}}
	if spec.Sequence() {
		in.dims = []int{n, spec.Context}
	}
	for _, v := range x {
		in.v = append(in.v, float64(v))
	}
	for _, v := range tokens {
		in.v = append(in.v, float64(v))
	}
	return load(t, file).run(in)
}

func wantNear(t *testing.T, got array, want []float32, tolerance float64) {
	t.Helper()
	if len(got.v) != len(want) {
		t.Fatalf("%d logits, want %d", len(got.v), len(want))
	}
	most := 0.0
	for _, v := range want {
		most = math.Max(most, math.Abs(float64(v)))
	}
	for i, v := range want {
		if d := math.Abs(got.v[i] - float64(v)); !(d <= tolerance*math.Max(most, 1e-3)) {
			t.Fatalf("logit %d: %v, want %v", i, got.v[i], v)
		}
	}
}

// A file in float32 computes what our network computes, whatever the batch.
func TestFloatFilesComputeTheSame(t *testing.T) {
	for name, spec := range specs {
		t.Run(name, func(t *testing.T) {
			values := parameters(t, spec)
			find := func(name string) ([]float32, bool) { v, ok := values[name]; return v, ok }
			g, err := models.Trace(spec, graph.Config{}, 1)
			if err != nil {
				t.Fatal(err)
			}
			file, err := Encode(g, Options{Name: name, Values: find})
			if err != nil {
				t.Fatal(err)
			}
			const n = 3
			want := ours(t, spec, n, func(dev kernels.Device, g *graph.Graph) {
				for _, p := range slices.Concat(g.Params(), g.States()) {
					if p.W.Buf, err = dev.Alloc(p.W.Bytes()); err != nil {
						t.Fatal(err)
					}
					if err := dev.WriteF32(p.W, values[p.Name]); err != nil {
						t.Fatal(err)
					}
				}
			}, func(d kernels.Device) kernels.Device { return d })
			wantNear(t, theirs(t, spec, n, file), want, 2e-5)
		})
	}
}

// quantized rounds the weights of a network and packs it: channels of two
// precisions a layer, one of them with removed weights.
func quantized(t *testing.T, spec models.Spec, hi, lo int, holes bool) *packed.Network {
	t.Helper()
	values := parameters(t, spec)
	g, err := models.Trace(spec, graph.Config{}, 1)
	if err != nil {
		t.Fatal(err)
	}
	c := quantize.Defaults()
	for _, p := range g.Params() {
		if !c.Quantizes(p) {
			continue
		}
		channels, outs := p.Axes[p.In].Size(), p.Axes[p.Out].Size()
		bits, scale := make([]float32, channels), make([]float32, outs)
		for i := range bits {
			bits[i] = float32(lo)
			if i%3 == 1 {
				bits[i] = float32(hi)
			}
		}
		w := values[p.Name]
		for r := 0; r < len(w); r += outs {
			lowbit.Larger(scale, w[r:][:outs])
		}
		for r := range len(w) / outs {
			lowbit.NewRounder(int(bits[r%channels]), scale).Round(w[r*outs:][:outs])
			if holes && r%2 == 0 {
				w[r*outs] = 0
			}
		}
		values[p.Name+".bits"], values[p.Name+".scale"], values[p.Name+".used"] = bits, scale, w
	}
	n, err := packed.Pack(&packed.Source{Model: spec, Activations: quantize.Act8, Values: func(name string) ([]float32, bool) { v, ok := values[name]; return v, ok }})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Quantized files compute what the packed network computes.
func TestIntegerFilesComputeTheSame(t *testing.T) {
	for name, spec := range specs {
		for _, c := range []struct {
			hi, lo int
			kind   Type
			holes  bool
		}{{8, 2, Int8, false}, {4, 1, Int8, false}, {4, 2, Int4, false}, {8, 4, Int4, false}, {4, 1, Int8, true}, {4, 2, Int4, true}} {
			if testing.Short() && c.holes || spec.Stem == models.StemLarge {
				continue
			}
			n := quantized(t, spec, c.hi, c.lo, c.holes)
			g, err := n.Trace(1)
			if err != nil {
				t.Fatal(err)
			}
			file, err := Encode(g, Options{Name: name, Packed: n, Type: c.kind})
			if err != nil {
				t.Fatalf("%s %v: %v", name, c, err)
			}
			const rows = 2
			want := ours(t, spec, rows, func(dev kernels.Device, g *graph.Graph) {
				if _, err := n.Place(dev, g); err != nil {
					t.Fatal(err)
				}
			}, func(d kernels.Device) kernels.Device { return packed.NewDevice(n, d, 1) })
			t.Run(name, func(t *testing.T) { wantNear(t, theirs(t, spec, rows, file), want, 3e-3) })
			again, err := n.Trace(1)
			if err != nil {
				t.Fatal(err)
			}
			if b, err := Encode(again, Options{Name: name, Packed: n, Type: c.kind}); err != nil || !bytes.Equal(b, file) {
				t.Errorf("%s: written twice it differs: %v", name, err)
			}
		}
	}
}

func TestWhatCannotBeWritten(t *testing.T) {
	lstm := models.Spec{Name: "lstm", Dim: 8, Layers: 1, Vocab: 5, Context: 4}
	for _, c := range []struct {
		name string
		spec models.Spec
		kind Type
		drop string
		want string
	}{
		{"recurrence", lstm, Float, "", "LSTM"},
		{"type", specs["mlp"], "int2", "", "int2"},
		{"values", specs["mlp"], Float, "fc1.weight", "values of fc1.weight"},
	} {
		values := parameters(t, c.spec)
		delete(values, c.drop)
		g, err := models.Trace(c.spec, graph.Config{}, 1)
		if err != nil {
			t.Fatal(err)
		}
		_, err = Encode(g, Options{Type: c.kind, Values: func(name string) ([]float32, bool) { v, ok := values[name]; return v, ok }})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}
