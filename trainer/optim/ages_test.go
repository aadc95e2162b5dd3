package optim

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/espalier-ml/espalier/kernels"
	"github.com/espalier-ml/espalier/kernels/cpu"
	"github.com/espalier-ml/espalier/trainer/graph"
)

// each visits all entries of all parameters: their block's age and factor.
func each(refs []*reference, g *graph.Graph, factor [2]float64, age func(b int) uint64, f func(r *reference, k int, t, factor float64)) {
	for i, p := range g.Params() {
		for k := range refs[i].w {
			b := block(p, k/refs[i].cols, k%refs[i].cols)
			f(refs[i], k, float64(age(b)), factor[b])
		}
	}
}

// avagrad is one step of AvaGrad or Delayed Adam, blocks having ages of their
// own; it returns the normaliser that the state holds afterwards.
func avagrad(refs []*reference, g *graph.Graph, c Config, factor [2]float64, age func(b int) uint64, gamma float64) float64 {
	root := func(r *reference, k int, t float64) float64 {
		if c.Mode == Paper {
			return math.Sqrt(r.v[k]) + c.Eps
		}
		return math.Sqrt(r.v[k]/(1-math.Pow(c.Beta2, t))) + c.Eps
	}
	mean := func(shift float64) float64 { // of squared rates, at ages less shift
		var sum, n float64
		each(refs, g, factor, age, func(r *reference, k int, t, _ float64) {
			if t -= shift; t > 0 || c.Mode == Paper {
				sum, n = sum+1/math.Pow(root(r, k, t), 2), n+1
			}
		})
		return sum / n
	}
	next := 1 / math.Sqrt(mean(0))
	if c.Mode != Official {
		gamma = 1 / math.Sqrt(mean(1))
		next = gamma
	}
	scale := gamma
	if c.Kind == DelayedAdam {
		scale = 1
	}
	each(refs, g, factor, age, func(r *reference, k int, t, factor float64) {
		grad, lr, w := r.g[k], c.LR*factor, c.WeightDecay*r.w[k]
		if c.Kind != AvaGradW {
			grad, w = grad+w, 0
		}
		r.m[k] = c.Beta1*r.m[k] + (1-c.Beta1)*grad
		m := r.m[k]
		if c.Mode != Paper {
			m /= 1 - math.Pow(c.Beta1, t)
		}
		if t > 1 || c.Mode == Paper {
			r.w[k] -= lr * (w + scale*m/root(r, k, t-1))
		}
		r.v[k] = c.Beta2*r.v[k] + (1-c.Beta2)*grad*grad
	})
	return next
}

func adabound(refs []*reference, g *graph.Graph, c Config, factor [2]float64, age func(b int) uint64) {
	each(refs, g, factor, age, func(r *reference, k int, t, factor float64) {
		grad, w := r.g[k], c.WeightDecay*r.w[k]
		if c.Kind == AdaBound {
			grad, w = grad+w, 0
		}
		r.m[k] = c.Beta1*r.m[k] + (1-c.Beta1)*grad
		r.v[k] = c.Beta2*r.v[k] + (1-c.Beta2)*grad*grad
		rate, shrink := c.LR*math.Sqrt(1-math.Pow(c.Beta2, t))/(1-math.Pow(c.Beta1, t))/(math.Sqrt(r.v[k])+c.Eps), 1.0
		if c.Mode == Paper {
			rate, shrink = c.LR/math.Sqrt(r.v[k]), 1/math.Sqrt(t)
		}
		lo, hi := c.Bounds(uint64(t))
		r.w[k] -= factor*shrink*min(max(rate, lo), hi)*r.m[k] + w
	})
}

func csgd(refs []*reference, g *graph.Graph, c Config, factor [2]float64, age func(b int) uint64) {
	each(refs, g, factor, age, func(r *reference, k int, t, factor float64) {
		r.m[k] = c.Momentum*r.m[k] + (1-c.Momentum)*(r.g[k]+c.WeightDecay*r.w[k])
		r.w[k] -= c.LR * factor / (1 - math.Pow(c.Momentum, t)) * r.m[k]
	})
}

// adaptive are configurations of the optimizers with ages in many places.
func adaptive() (all []Config) {
	for _, k := range []Kind{AvaGrad, AvaGradW, DelayedAdam} {
		for _, m := range []Mode{Official, Paper, Fresh} {
			c := Defaults(k)
			c.Mode, c.WeightDecay = m, 0.01
			all = append(all, c)
		}
	}
	for _, k := range []Kind{AdaBound, AdaBoundW} {
		c := Defaults(k)
		c.LR, c.Gamma, c.WeightDecay = 0.01, 0.05, 0.01
		all = append(all, c)
	}
	paper := Defaults(AdaBound)
	paper.Mode, paper.LR, paper.Gamma = Paper, 0.05, 0.2
	return append(all, paper, Defaults(CSGD))
}

// Updates of every optimizer against the rules, with a rate factor for the new
// block and an age of its own: it is born after 5 updates, with state zero.
func TestAgesOfBlocks(t *testing.T) {
	for _, c := range adaptive() {
		for _, portable := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s %s portable %v", c.Kind, c.Mode, portable), func(t *testing.T) {
				dev, err := cpu.New(cpu.Options{Threads: 2, Portable: portable})
				if err != nil {
					t.Fatal(err)
				}
				defer dev.Close()
				g := layer(t, dev)
				births := []uint64{0, 5}
				s, err := New(dev, c, g, births, nil)
				if err != nil {
					t.Fatal(err)
				}
				defer s.Close()
				var refs []*reference
				for i, p := range g.Params() {
					refs = append(refs, snapshot(p))
					s.Entries[i].Factor[1] = 0.5
				}
				gamma := 0.0
				base := c
				for step := uint64(5); step < 12; step++ {
					c.LR = base.LR * (1 - float64(step)/20) // a schedule
					if c.is(AdaBound, AdaBoundW) && c.Mode == Official {
						c.FinalLR = base.FinalLR * c.LR / base.LR
					}
					if err := s.Step(&kernels.Env{Rate: float32(c.LR), GradFactor: 1, WeightDecay: 1}, step); err != nil {
						t.Fatal(err)
					}
					age := func(b int) uint64 { return step - births[b] + 1 }
					factor := [2]float64{1, 0.5}
					switch c.Kind {
					case CSGD:
						csgd(refs, g, c, factor, age)
					case AdaBound, AdaBoundW:
						adabound(refs, g, c, factor, age)
					default:
						gamma = avagrad(refs, g, c, factor, age, gamma)
					}
					for i, p := range g.Params() {
						for k, v := range cpu.F32(p.W) {
							if want := refs[i].w[k]; math.Abs(float64(v)-want) > 2e-5*(1+math.Abs(want)) {
								t.Fatalf("update %d: %s[%d] = %v, want %v", step, p.Name, k, v, want)
							}
						}
					}
				}
			})
		}
	}
}

// In modes official and fresh a block's first update moves its moments, not
// its weights; fresh makes the mean square of normaliser·rate 1 over all that
// moves, of all parameters and blocks.
func TestFreshNormalizerMakesMeanSquareOne(t *testing.T) {
	dev, err := cpu.New(cpu.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	g := layer(t, dev)
	c := Defaults(AvaGrad)
	c.Mode, c.Eps = Fresh, 1e-3
	births := []uint64{0, 3}
	s, err := New(dev, c, g, births, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for step := uint64(3); step < 7; step++ {
		var sum, n float64
		before := map[string][]float32{}
		for i, p := range g.Params() {
			cols := p.W.Dim(-1)
			before[p.Name] = slices.Clone(cpu.F32(p.W))
			for k, v := range cpu.F32(s.Entries[i].Slots[1]) {
				if age := step - births[block(p, k/cols, k%cols)]; age > 0 {
					sum += 1 / math.Pow(math.Sqrt(float64(v)/(1-math.Pow(c.Beta2, float64(age))))+c.Eps, 2)
					n++
				}
			}
		}
		if err := s.Step(&kernels.Env{Rate: 0.1, GradFactor: 1, WeightDecay: 1}, step); err != nil {
			t.Fatal(err)
		}
		gamma := float64(cpu.F32(s.normalizers[0].gamma)[0])
		if got := gamma * gamma * sum / n; math.Abs(got-1) > 1e-6 {
			t.Errorf("update %d: mean square %v, want 1", step, got)
		}
		for _, p := range g.Params() {
			cols := p.W.Dim(-1)
			for k, v := range cpu.F32(p.W) {
				young := block(p, k/cols, k%cols) == 1 && step == 3
				if moved := math.Float32bits(v) != math.Float32bits(before[p.Name][k]); moved == young {
					t.Fatalf("update %d: %s[%d] moved: %v", step, p.Name, k, moved)
				}
			}
		}
	}
}

// What methods keep beside the network has a normaliser of its own.
func TestLocalParametersAreAnotherGroup(t *testing.T) {
	dev, err := cpu.New(cpu.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	run := func(local bool) (gammas []float32) {
		g := parameters(t, dev, [][2]int{{0, 3}, {3, 2}})
		g.Params()[1].Local = local
		s, err := New(dev, Defaults(AvaGrad), g, []uint64{0}, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		for step := range uint64(3) {
			for i, p := range g.Params() {
				for k := range cpu.F32(p.G) {
					cpu.F32(p.G)[k] = float32(1 + 10*i)
				}
			}
			if err := s.Step(&kernels.Env{Rate: 0.1, GradFactor: 1, WeightDecay: 1}, step); err != nil {
				t.Fatal(err)
			}
		}
		for _, x := range s.Scalars {
			gammas = append(gammas, cpu.F32(x.T)[0])
		}
		return gammas
	}
	one, two := run(false), run(true)
	if len(one) != 1 || len(two) != 2 {
		t.Fatalf("%d and %d normalisers, want 1 and 2", len(one), len(two))
	}
	if !(two[0] < one[0] && one[0] < two[1]) {
		t.Errorf("normalisers %v and %v apart, %v together", two[0], two[1], one[0])
	}
}

// Gradients of zero leave decoupled decay alone: a factor 1-lr·w from the
// second update on.
func TestDecoupledDecayAlone(t *testing.T) {
	dev, err := cpu.New(cpu.Options{Threads: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer dev.Close()
	g := parameters(t, dev, [][2]int{{0, 3}})
	c := Defaults(AvaGradW)
	c.WeightDecay = 0.5
	s, err := New(dev, c, g, []uint64{0}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	w := cpu.F32(g.Params()[0].W)
	copy(w, []float32{1, -2, 4})
	for step, want := range []float32{1, 0.95, 0.95 * 0.95} {
		if err := s.Step(&kernels.Env{Rate: 0.1, GradFactor: 1, WeightDecay: 1}, uint64(step)); err != nil {
			t.Fatal(err)
		}
		if math.Abs(float64(w[0]-want)) > 1e-6 || math.Abs(float64(w[2]-4*want)) > 4e-6 {
			t.Errorf("update %d: %v, want %v times the start", step, w, want)
		}
	}
}
