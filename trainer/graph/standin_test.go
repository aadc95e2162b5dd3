package graph_test

import (
	"slices"
	"testing"

	"github.com/espalier-ml/espalier/kernels/cpu"
	"github.com/espalier-ml/espalier/trainer/graph"
	"github.com/espalier-ml/espalier/trainer/models"
)

// The gradient by a stand-in is that by the weight which it stands for, and
// that of the ordinary network at the stand-in's values; with a gate in front
// it passes through the gate.
func TestStandInPassesItsGradient(t *testing.T) {
	dev, err := cpu.New(cpu.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	spec := models.Spec{Name: "resnet-8", Base: 4, Height: 8, Width: 8, Channels: 3, Classes: 5}
	gradients := func(hook func(g *graph.Graph, p *graph.Param, v *graph.Value) *graph.Value) map[string][]float32 {
		g, err := models.Trace(spec, graph.Config{Train: true, Weights: hook}, 4)
		if err != nil {
			t.Fatal(err)
		}
		b := compile(t, dev, g)
		by := map[string]*graph.Param{}
		for _, p := range slices.Concat(g.Params(), g.States()) {
			by[p.Name] = p
		}
		for _, p := range g.Params() {
			if q := by[p.Name+".used"]; q != nil {
				copy(cpu.F32(q.W), cpu.F32(p.W))
				clear(cpu.F32(p.W))
			}
		}
		b.loss(t)
		all := map[string][]float32{}
		for _, p := range g.Params() {
			all[p.Name] = slices.Clone(cpu.F32(p.G))
		}
		return all
	}
	state := func(g *graph.Graph, name string, p *graph.Param, gain float32) *graph.Value {
		return g.Param(name, graph.ParamSpec{Axes: p.Axes, In: -1, Out: p.Out, Init: graph.InitConst, Gain: gain, State: true})
	}
	want := gradients(nil)
	gated := map[string]bool{}
	for _, gate := range []float32{1, 0.5} {
		got := gradients(func(g *graph.Graph, p *graph.Param, v *graph.Value) *graph.Value {
			if len(p.Axes) < 2 {
				return v
			}
			gated[p.Name] = true
			if gate != 1 {
				v = v.Mul(state(g, p.Name+".gate", p, gate))
			}
			return v.StandIn(state(g, p.Name+".used", p, 0))
		})
		for name, g := range want {
			for i, x := range g {
				if gated[name] {
					x *= gate
				}
				if d := got[name][i] - x; d*d > 1e-12*(1+x*x) {
					t.Fatalf("gate %v: gradient of %s[%d]: %v, want %v", gate, name, i, got[name][i], x)
				}
			}
		}
	}
}

func TestStandInOfAnotherShapeIsRefused(t *testing.T) {
	_, err := graph.Trace(graph.Config{}, func(g *graph.Graph) {
		v := g.Param("w", graph.Weight(graph.Fixed(3), graph.Fixed(4)))
		v.StandIn(g.Param("q", graph.ParamSpec{Axes: []graph.Axis{graph.Fixed(3)}, In: -1, Out: -1, State: true}))
	})
	if err == nil {
		t.Error("no error")
	}
}
