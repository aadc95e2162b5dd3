package structured

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

// net is a traced network with values, without a run.
type net struct {
	t    testing.TB
	dev  kernels.Device
	g    *graph.Graph
	prog *graph.Program
}

func build(t testing.TB, m models.Spec, cfg graph.Config, n int) *net {
	t.Helper()
	dev, err := cpu.New(cpu.Options{Threads: 1, Spin: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dev.Close() })
	g, err := models.Trace(m, cfg, n)
	if err != nil {
		t.Fatal(err)
	}
	place := func(x *kernels.Tensor) {
		if x.Buf, err = dev.Alloc(x.Bytes()); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range all(g) {
		place(p.W)
		if p.G != nil {
			place(p.G)
		}
	}
	for _, r := range g.Running() {
		place(r.Batch)
	}
	prog, err := g.Compile(dev)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { prog.Close() })
	return &net{t, dev, g, prog}
}

func (n *net) param(name string) *graph.Param {
	for _, p := range all(n.g) {
		if p.Name == name {
			return p
		}
	}
	return nil
}

func (n *net) set(p *graph.Param, v []float32) {
	n.t.Helper()
	if err := n.dev.WriteF32(p.W, v); err != nil {
		n.t.Fatal(err)
	}
}

// loss runs made-up data.
func (n *net) loss(m models.Spec) float64 {
	n.t.Helper()
	x, y := n.prog.Input("x"), n.prog.Input("y")
	key := philox.NewKey(9, "data")
	if m.Sequence() {
		tokens := make([]int32, x.Len())
		for i := range tokens {
			tokens[i] = int32(i*7+i/3) % int32(m.Vocab)
		}
		n.check(n.dev.WriteI32(x, tokens))
	} else {
		v := make([]float32, x.Len())
		for i := range v {
			v[i] = philox.Normals(key.Index(uint64(i)))[0]
		}
		n.check(n.dev.WriteF32(x, v))
	}
	labels := make([]int32, y.Len())
	for i := range labels {
		labels[i] = int32(i*3) % 10
	}
	n.check(n.dev.WriteI32(y, labels))
	n.check(n.prog.Run(&kernels.Env{GradScale: 1}, nil))
	sum := 0.0
	for _, v := range read(n.t, n.dev, n.prog.Loss()) {
		sum += float64(v)
	}
	return sum
}

func (n *net) check(err error) {
	n.t.Helper()
	if err != nil {
		n.t.Fatal(err)
	}
}

// value is a made-up value of an entry of a parameter.
func value(p *graph.Param, i int) float32 {
	v := philox.Normals(philox.NewKey(3, p.Name).Index(uint64(i)))[0]
	switch {
	case p.Variance:
		return 0.5 + v*v
	case p.State:
		return 0.3 * v
	case p.Init == graph.InitOne:
		return 1 + 0.2*v
	case p.Std() > 0:
		return v * float32(p.Std()) * 1.5
	}
	return 0.2 * v
}

func tokens(name string) models.Spec {
	s := spec(name)
	s.Context = 4
	return s
}

// structures are the networks of which the masked form is compared with others.
var structures = []models.Spec{spec("mlp"), {Name: "mlp", Height: 8, Width: 8, Channels: 1, Classes: 10, Hidden: []int{12, 8}, Norm: true},
	spec("resnet-14"), spec("resnet-18"), spec("wrn-10-1"), tokens("lstm"), tokens("transformer")}

// masked is the full network of a model with masks: μ of every component.
func masked(t testing.TB, s *Space, m models.Spec, train bool, n int, mu []float32) *net {
	t.Helper()
	x := build(t, m, graph.Config{Train: train, Weights: newMasking(s).weight}, n)
	f := &filler{move: &move{archive: newArchive(s)}, mask: func(g, u int) float32 {
		if g < 0 {
			return mu[s.Units()+u]
		}
		return mu[s.Groups[g].First+u]
	}}
	for _, p := range all(x.g) {
		v := make([]float32, p.W.Len())
		if isMask(p) {
			f.masks(p, v)
		} else {
			for i := range v {
				v[i] = value(p, i)
			}
		}
		x.set(p, v)
	}
	return x
}

// Invariants 1 and 2: the full network with masks, zeros among them, computes
// what the network computes that has only the units that are not zero, in
// training and in evaluation, gradients included; with masks of 1 it is the
// plain network to the bit.
func TestMaskedIsRestructured(t *testing.T) {
	for _, m := range append(structures[:len(structures):len(structures)], spec("mobilenet")) {
		for _, train := range []bool{true, false} {
			if m.Name == "mobilenet" && train {
				continue // statistics of single pixels: rounding is all there is
			}
			t.Run(fmt.Sprintf("%s %v", m.Name, train), func(t *testing.T) {
				c := Defaults()
				c.Streams = m.Name == "resnet-18" || m.Name == "wrn-10-1"
				if m.Name == "lstm" {
					c.Dims = []string{"*"}
				}
				s := space(t, c, m)
				active := make([]bool, s.Components())
				mu := make([]float32, len(active))
				for i := range active {
					active[i] = i%3 != 1
				}
				active = s.Settle(active, make([]float32, len(active)), 1)
				for i, a := range active {
					if a {
						mu[i] = 0.1 + 0.9*float32(i*31%17)/17
					}
				}
				full := masked(t, s, m, train, 8, mu)
				units, every := ranks(s, active), make([]bool, s.Units())
				sizes := graph.Sizes{}
				for d, list := range units {
					sizes[d] = []int{len(list)}
				}
				for i := range every {
					every[i] = true
				}
				small := build(t, m, graph.Config{Train: train, Sizes: sizes, Weights: newMasking(s).weight}, 8)
				from := between(s, ranks(s, every), units)
				for _, p := range all(small.g) {
					whole := full.param(p.Name)
					old, v := read(t, full.dev, whole.W), make([]float32, p.W.Len())
					graph.Select(whole, p, from, func(i, j int) { v[j] = old[i] })
					small.set(p, v)
				}
				a, b := full.loss(m), small.loss(m)
				if math.Abs(a-b) > 1e-5*math.Abs(a) {
					t.Errorf("masked loss %v, restructured %v", a, b)
				}
				if !train {
					return
				}
				for _, p := range small.g.Params() {
					whole := full.param(p.Name)
					old, now := read(t, full.dev, whole.G), read(t, small.dev, p.G)
					scale := 0.0
					for _, v := range now {
						scale = max(scale, math.Abs(float64(v)))
					}
					graph.Select(whole, p, from, func(i, j int) {
						if math.Abs(float64(old[i]-now[j])) > 1e-4*scale+1e-6 {
							t.Fatalf("gradient of %s: %v masked, %v restructured, the largest is %v", p.Name, old[i], now[j], scale)
						}
					})
				}
			})
		}
	}
}

// Invariant 1.
func TestMasksOfOneChangeNothing(t *testing.T) {
	for _, m := range structures {
		s := space(t, Defaults(), m)
		ones := make([]float32, s.Components())
		for i := range ones {
			ones[i] = 1
		}
		a := masked(t, s, m, true, 2, ones)
		b := build(t, m, graph.Config{Train: true}, 2)
		for _, p := range all(b.g) {
			b.set(p, read(t, a.dev, a.param(p.Name).W))
		}
		if x, y := a.loss(m), b.loss(m); x != y {
			t.Errorf("%s: loss %v with masks of 1, %v without", m.Name, x, y)
		}
		for _, p := range b.g.Params() {
			x, y := read(t, a.dev, a.param(p.Name).G), read(t, b.dev, p.G)
			for i := range x {
				if x[i] != y[i] {
					t.Fatalf("%s: gradient of %s: %v with masks of 1, %v without", m.Name, p.Name, x[i], y[i])
				}
			}
		}
	}
}

// Invariants 3 and 4: the gradient by a mask that follows from those of the
// parameters is that of finite differences, as far as rounding of the loss and the kinks of ReLUs allow.
func TestMaskGradient(t *testing.T) {
	for _, m := range structures {
		if m.Name == "resnet-18" {
			continue // statistics of single pixels: differences see rounding alone
		}
		t.Run(m.Name, func(t *testing.T) {
			s := space(t, Defaults(), m)
			mu := make([]float32, s.Components())
			for i := range mu {
				mu[i] = 0.3 + 0.7*float32(i*31%17)/17
			}
			x := masked(t, s, m, true, 16, mu)
			x.loss(m)
			e := engineOf(t, s, x)
			d := make([]float64, len(mu))
			if err := e.slopes(&kernels.Env{}, func(g, u int, v float64) {
				if g < 0 {
					d[s.Units()+u] += v
				} else {
					d[s.Groups[g].First+u] += v
				}
			}); err != nil {
				t.Fatal(err)
			}
			largest := 0.0
			for i := range d {
				d[i] /= float64(mu[i])
				largest = max(largest, math.Abs(d[i]))
			}
			at := func(i int, v float32) float64 {
				old := mu[i]
				mu[i] = v
				defer func() { mu[i] = old }()
				return masked(t, s, m, true, 16, mu).loss(m)
			}
			step := max(1, len(mu)/12)
			for i := len(mu) - 1; i >= 0; i -= step {
				const h = 2e-3
				want := (at(i, mu[i]+h) - at(i, mu[i]-h)) / (2 * h)
				if math.Abs(d[i]-want) > 0.05*math.Abs(want)+0.02*largest+0.015 {
					t.Errorf("component %d of %d: D %v, differences %v", i, len(mu), d[i], want)
				}
			}
		})
	}
}

// engineOf is an engine on a network without a run.
func engineOf(t testing.TB, s *Space, n *net) *engine {
	t.Helper()
	e, err := newEngine(s, n.g, n.dev)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(e.close)
	return e
}

// Invariant 12: a new unit changes nothing that the network computes, and the
// gradient reaches the weights that lead out of it.
func TestAttachmentKeepsTheFunction(t *testing.T) {
	for _, m := range structures {
		for _, train := range []bool{false, true} {
			c := Defaults()
			s := space(t, c, m)
			before, after := make([]bool, s.Components()), make([]bool, s.Components())
			for i := range before {
				before[i] = i%2 == 0 || i >= s.Units()
				after[i] = i%4 != 1 || i >= s.Units()
			}
			before = s.Settle(before, make([]float32, len(before)), 1)
			for i := range before {
				after[i] = after[i] || before[i]
			}
			a := restructured(t, s, m, train, before, nil, nil)
			b := restructured(t, s, m, train, after, a, before)
			x, y := a.loss(m), b.loss(m)
			if math.Abs(x-y) > 1e-5*math.Abs(x) {
				t.Errorf("%s, training %v: loss %v before, %v after", m.Name, train, x, y)
			}
			if !train {
				continue
			}
			for _, g := range s.Groups {
				reached := false
				for _, p := range b.g.Params() {
					if p.In < 0 || p.Axes[p.In].Dim == nil || p.Axes[p.In].Dim.Name != g.Dim || p.Init == graph.InitStd {
						continue
					}
					grad, w := read(t, b.dev, p.G), read(t, b.dev, p.W)
					for i := range grad {
						reached = reached || w[i] == 0 && grad[i] != 0
					}
				}
				if !reached {
					t.Errorf("%s: no gradient reaches what leads out of new units of %s", m.Name, g.Dim)
				}
			}
		}
	}
}

// restructured is the network of what is active, with made-up values or those
// that the method makes of another's. Masks are one half.
func restructured(t testing.TB, s *Space, m models.Spec, train bool, active []bool, old *net, was []bool) *net {
	t.Helper()
	units, sizes := ranks(s, active), graph.Sizes{}
	for d, list := range units {
		sizes[d] = []int{len(list)}
	}
	n := build(t, m, graph.Config{Train: train, Sizes: sizes, Weights: newMasking(s).weight}, 3)
	f := &filler{attach: AttachZero, seed: 5, mask: func(int, int) float32 { return 0.5 }}
	f.move = &move{archive: newArchive(s), after: units}
	if old != nil {
		copy(f.move.archive.seen, was)
		both := ranks(s, active)
		f.move.before, f.move.old, f.move.seen = ranks(s, was), ranks(s, was), both
		f.wasSeen = was
	}
	for _, p := range all(n.g) {
		v := make([]float32, p.W.Len())
		switch {
		case isMask(p):
			f.masks(p, v)
		case old == nil:
			for i := range v {
				v[i] = value(p, i)
			}
		default:
			q := old.param(p.Name)
			f.values(q, p, read(t, old.dev, q.W), v)
		}
		n.set(p, v)
	}
	return n
}
