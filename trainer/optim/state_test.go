package optim

import (
	"math"
	"testing"

	"github.com/espalier-ml/espalier/kernels"
	"github.com/espalier-ml/espalier/kernels/cpu"
	"github.com/espalier-ml/espalier/kernels/philox"
	"github.com/espalier-ml/espalier/trainer/graph"
)

// layer is a traced linear layer whose output Dim has grown from 3 to 5.
func layer(t *testing.T, dev *cpu.Device) *graph.Graph {
	t.Helper()
	g, err := graph.Trace(graph.Config{Train: true, Sizes: graph.Sizes{"h": {3, 5}}}, func(g *graph.Graph) {
		h := g.Dim("h", 8)
		x := g.Input("x", kernels.F32, 2, 4).Linear(
			g.Param("w", graph.Weight(graph.Fixed(4), h.Axis())), g.Param("b", graph.Vector(h.Axis(), graph.InitZero)))
		g.Loss(x.Linear(g.Param("out", graph.Weight(h.Axis(), graph.Fixed(3))), nil), g.Input("y", kernels.I32, 2), 0)
		g.Backward()
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range g.Params() {
		for i, x := range []*kernels.Tensor{p.W, p.G} {
			if x.Buf, err = dev.Alloc(x.Bytes()); err != nil {
				t.Fatal(err)
			}
			for k := range cpu.F32(x) {
				cpu.F32(x)[k] = philox.Normals(philox.NewKey(uint64(i), p.Name).Index(uint64(k)))[0]
			}
		}
	}
	return g
}

// block is the growth stage of entry (i, j) of a parameter of layer.
func block(p *graph.Param, i, j int) int {
	unit := map[string]int{"w": j, "b": j, "out": i}[p.Name]
	if unit >= 3 {
		return 1
	}
	return 0
}

// reference applies the published update rules in float64, entry by entry.
type reference struct {
	w, m, v, g []float64
	cols       int
}

func snapshot(p *graph.Param) *reference {
	r := &reference{cols: p.W.Dim(-1)}
	for k, v := range cpu.F32(p.W) {
		r.w, r.g = append(r.w, float64(v)), append(r.g, float64(cpu.F32(p.G)[k]))
	}
	r.m, r.v = make([]float64, len(r.w)), make([]float64, len(r.w))
	return r
}

func (r *reference) sgd(p *graph.Param, c Config, lr float64, factor [2]float64, age func(block int) uint64) {
	for k := range r.w {
		b := block(p, k/r.cols, k%r.cols)
		g := r.g[k] + c.WeightDecay*r.w[k]
		if age(b) == 1 {
			r.m[k] = g
		} else {
			r.m[k] = c.Momentum*r.m[k] + (1-c.Dampening)*g
		}
		d := r.m[k]
		if c.Nesterov {
			d = g + c.Momentum*r.m[k]
		}
		r.w[k] -= lr * factor[b] * d
	}
}

func (r *reference) adam(p *graph.Param, c Config, lr float64, factor [2]float64, age func(block int) uint64) {
	for k := range r.w {
		b := block(p, k/r.cols, k%r.cols)
		decay := c.WeightDecay
		if c.SpareNorms && p.NoDecay {
			decay = 0
		}
		g, rate := r.g[k], lr*factor[b]
		if c.Kind == AdamW {
			r.w[k] -= rate * decay * r.w[k]
		} else {
			g += decay * r.w[k]
		}
		r.m[k] = c.Beta1*r.m[k] + (1-c.Beta1)*g
		r.v[k] = c.Beta2*r.v[k] + (1-c.Beta2)*g*g
		t := float64(age(b))
		m := r.m[k] / (1 - math.Pow(c.Beta1, t))
		v := r.v[k] / (1 - math.Pow(c.Beta2, t))
		r.w[k] -= rate * m / (math.Sqrt(v) + c.Eps)
	}
}

// Ten updates of every optimizer against the rules, with a rate factor for
// the new block and an age of its own: it was born after 100 updates.
func TestUpdatesFollowTheRules(t *testing.T) {
	nesterov := Config{Kind: SGD, LR: 0.1, Momentum: 0.9, WeightDecay: 1e-2, Nesterov: true}
	damped := Config{Kind: SGD, LR: 0.1, Momentum: 0.8, Dampening: 0.8}
	coupled := Defaults(Adam)
	coupled.WeightDecay = 0.1
	for _, c := range []Config{Defaults(SGD), nesterov, damped, {Kind: SGD, LR: 0.1}, coupled, Defaults(AdamW)} {
		for _, portable := range []bool{true, false} {
			dev, err := cpu.New(cpu.Options{Threads: 2, Portable: portable})
			if err != nil {
				t.Fatal(err)
			}
			g := layer(t, dev)
			births := []uint64{0, 100}
			s, err := New(dev, c, g, births, nil)
			if err != nil {
				t.Fatal(err)
			}
			factor := [2]float64{1, 0.5}
			var refs []*reference
			for i, p := range g.Params() {
				refs = append(refs, snapshot(p))
				s.Entries[i].Factor[1] = 0.5
			}
			for step := uint64(100); step < 110; step++ {
				if err := s.Step(&kernels.Env{Rate: float32(c.LR), GradFactor: 1, WeightDecay: 1}, step); err != nil {
					t.Fatal(err)
				}
				age := func(b int) uint64 { return step - births[b] + 1 }
				for i, p := range g.Params() {
					if c.Kind == SGD {
						refs[i].sgd(p, c, c.LR, factor, age)
					} else {
						refs[i].adam(p, c, c.LR, factor, age)
					}
				}
			}
			for i, p := range g.Params() {
				for k, v := range cpu.F32(p.W) {
					if want := refs[i].w[k]; math.Abs(float64(v)-want) > 2e-5*(1+math.Abs(want)) {
						t.Errorf("%s on %s: %s[%d] = %v, want %v", c.Kind, dev.Name(), p.Name, k, v, want)
						break
					}
				}
			}
			s.Close()
			dev.Close()
		}
	}
}

func TestSquaresOfBlocks(t *testing.T) {
	dev, err := cpu.New(cpu.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	g := layer(t, dev)
	s, err := New(dev, Defaults(SGD), g, []uint64{0, 5}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	err = s.Squares(&kernels.Env{}, func(i int, squares []float32) {
		p := g.Params()[i]
		want := make([]float64, 2)
		cols := p.W.Dim(-1)
		for k, v := range cpu.F32(p.W) {
			want[block(p, k/cols, k%cols)] += float64(v) * float64(v)
		}
		for b := range want {
			if math.Abs(float64(squares[b])-want[b]) > 1e-5*want[b] {
				t.Errorf("%s block %d: Σw² = %v, want %v", p.Name, b, squares[b], want[b])
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestStagesWithoutBirthAreRefused(t *testing.T) {
	dev, err := cpu.New(cpu.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	if _, err := New(dev, Defaults(SGD), layer(t, dev), []uint64{0}, nil); err == nil {
		t.Error("two stages with one birth were accepted")
	}
}
