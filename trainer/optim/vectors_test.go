package optim

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/espalier-ml/espalier/kernels"
	"github.com/espalier-ml/espalier/kernels/cpu"
	"github.com/espalier-ml/espalier/trainer/graph"
	"github.com/espalier-ml/espalier/trainer/optim/convergence"
)

// vectors is the folder of published trajectories; ESPALIER_VECTORS names
// another.
func vectors() string {
	if dir := os.Getenv("ESPALIER_VECTORS"); dir != "" {
		return dir
	}
	return filepath.Join("testdata", "vectors")
}

// configOf is our configuration for a group of a case.
func configOf(c *convergence.Case, g *convergence.Group) (Config, error) {
	h := &g.Hyper
	o := Config{LR: h.LR, WeightDecay: h.WeightDecay, Beta1: h.Beta1, Beta2: h.Beta2, Eps: h.Eps,
		Momentum: h.Momentum, Dampening: h.Dampening, Nesterov: h.Nesterov}
	kinds := map[string]Kind{"sgd": SGD, "csgd": CSGD, "adam": Adam, "adamw": AdamW, "avagrad": AvaGrad, "avagradw": AvaGradW,
		"delayed_adam": DelayedAdam, "adabound": AdaBound, "amsbound": AdaBound, "adaboundw": AdaBoundW, "amsboundw": AdaBoundW,
		"adabound_paper": AdaBound, "amsbound_paper": AdaBound}
	o.Kind = kinds[c.Optimizer]
	switch o.Kind {
	case Adam:
		if c.Mode == "decoupled" {
			o.Kind = AdamW
		}
	case DelayedAdam, AvaGrad, AvaGradW:
		o.Mode = Mode(c.Mode)
	case AdaBound, AdaBoundW:
		o.FinalLR, o.Gamma = h.FinalLR, h.Gamma
		o.AMS = strings.HasPrefix(c.Optimizer, "ams")
		if !strings.HasSuffix(c.Optimizer, "_paper") {
			break
		}
		o.Mode, o.Beta1OverT = Paper, h.Schedule == "over_t"
		o.FinalLR, o.Gamma = h.LR, 1 // bounds that the test replaces
		if c.Bounds != nil && c.Bounds.Type == "luo" {
			o.FinalLR, o.Gamma = c.Bounds.Limit, c.Bounds.Gamma
		}
		if c.Box != nil {
			o.Box = [2]float64{c.Box[0], c.Box[1]}
		}
	}
	return o, o.Validate()
}

// parameters is a graph with parameters of the given sizes and no others.
func parameters(t *testing.T, dev *cpu.Device, sizes [][2]int) *graph.Graph {
	t.Helper()
	g, err := graph.Trace(graph.Config{Train: true}, func(g *graph.Graph) {
		var logits *graph.Value
		for i, s := range sizes {
			y := g.Input(fmt.Sprint("x", i), kernels.F32, 2, 1).Linear(g.Param(fmt.Sprint("p", i), graph.Weight(graph.Fixed(1), graph.Fixed(s[1]))), nil)
			if logits == nil {
				logits = y
			} else {
				logits = graph.Concat(1, logits, y)
			}
		}
		g.Loss(logits, g.Input("y", kernels.I32, 2), 0)
		g.Backward()
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range g.Params() {
		for _, x := range []*kernels.Tensor{p.W, p.G} {
			if x.Buf, err = dev.Alloc(x.Bytes()); err != nil {
				t.Fatal(err)
			}
		}
	}
	return g
}

// A replayed group is one State: groups have hyper-parameters of their own.
type replayed struct {
	group *convergence.Group
	state *State
}

// put and pick copy numbers of x to tensors of the entries and back.
func (r replayed) put(x []float64, tensor func(e *Entry) *kernels.Tensor) {
	for i, t := range r.group.Tensors {
		f := cpu.F32(tensor(r.state.Entries[i]))
		for k := range f {
			f[k] = float32(x[t[0]+k])
		}
	}
}

func (r replayed) pick(x []float64, tensor func(e *Entry) *kernels.Tensor) {
	for i, t := range r.group.Tensors {
		for k, v := range cpu.F32(tensor(r.state.Entries[i])) {
			x[t[0]+k] = float64(v)
		}
	}
}

func weights(e *Entry) *kernels.Tensor   { return e.Param.W }
func gradients(e *Entry) *kernels.Tensor { return e.Param.G }
func slot(k int) func(e *Entry) *kernels.Tensor {
	return func(e *Entry) *kernels.Tensor { return e.Slots[k] }
}

func open(t *testing.T, dev *cpu.Device, c *convergence.Case) (groups []replayed) {
	for i := range c.Groups {
		g := &c.Groups[i]
		o, err := configOf(c, g)
		if err != nil {
			t.Fatal(err)
		}
		s, err := New(dev, o, parameters(t, dev, g.Tensors), []uint64{0}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if o.algorithm1() {
			limits, err := c.Limits(g)
			if err != nil {
				t.Fatal(err)
			}
			if limits == nil {
				limits = func(int) (lower, upper float64) { return 0, 1e30 }
			}
			s.bounds = func(age uint64) (lower, upper float64) { return limits(int(age)) }
		}
		groups = append(groups, replayed{g, s})
	}
	return groups
}

// The kernels of both devices follow the published trajectories as far as
// float32 can.
func TestUpdatesFollowPublishedTrajectories(t *testing.T) {
	cases, err := convergence.Read(vectors())
	if err != nil {
		t.Fatal(err)
	}
	for _, portable := range []bool{true, false} {
		dev, err := cpu.New(cpu.Options{Threads: 1, Portable: portable})
		if err != nil {
			t.Fatal(err)
		}
		defer dev.Close()
		for i := range cases {
			t.Run(fmt.Sprintf("%s/%s portable %v", cases[i].File, cases[i].ID, portable), func(t *testing.T) { follow(t, dev, &cases[i]) })
		}
	}
}

func follow(t *testing.T, dev *cpu.Device, c *convergence.Case) {
	groups := open(t, dev, c)
	n := len(c.X0)
	x, grad, got := make([]float64, n), make([]float64, n), make([]float64, n)
	for _, r := range groups {
		r.put(c.X0, weights)
		defer r.state.Close()
	}
	for _, s := range c.Steps {
		for _, r := range groups {
			r.pick(x, weights)
		}
		c.Gradient(s.T, x, grad)
		for _, r := range groups {
			r.put(grad, gradients)
			env := &kernels.Env{Rate: float32(c.Rate(r.group, s.T)), GradFactor: 1, WeightDecay: 1}
			if err := r.state.Step(env, uint64(s.T-1)); err != nil {
				t.Fatal(err)
			}
		}
		compare := func(what string, want []float64, tensor func(e *Entry) *kernels.Tensor) {
			if want == nil {
				return
			}
			for _, r := range groups {
				r.pick(got, tensor)
			}
			near(t, s.T, what, got, want)
		}
		compare("x", s.X, weights)
		for k, name := range groups[0].state.Config.Slots() {
			compare(name, map[string][]float64{"m": s.M, "momentum": s.M, "v": s.V, "vmax": s.VMax}[name], slot(k))
		}
		for _, r := range groups {
			if want, ok := s.Gamma[r.group.Index]; ok {
				near(t, s.T, "gamma", []float64{float64(cpu.F32(r.state.normalizers[0].gamma)[0])}, []float64{want})
			}
		}
	}
}

func near(t *testing.T, step int, what string, got, want []float64) {
	t.Helper()
	if at, by := convergence.Far(got, want, 2e-5, 2e-6); by > 0 {
		t.Fatalf("step %d: %s[%d] is %.9g, want %.9g", step, what, at, got[at], want[at])
	}
}
