package sparsify

import (
	"fmt"
	"math"

	"github.com/espalier-ml/espalier/kernels"
	"github.com/espalier-ml/espalier/trainer"
	"github.com/espalier-ml/espalier/trainer/graph"
)

// Names of what stands beside a weight: its soft-mask parameter s, and the
// value of its gates.
const (
	softSuffix = ".mask"
	gateSuffix = ".gate"
)

// gate declares the state that multiplies a weight and applies it.
func gate(g *graph.Graph, p *graph.Param, v *graph.Value) *graph.Value {
	if v.T != p.W {
		graph.Fail("weight %s is replaced by another method before sparsify can put gates on it: sparsify must come first", p.Name)
	}
	return v.Mul(g.Param(p.Name+gateSuffix, graph.ParamSpec{Axes: p.Axes, In: -1, Out: p.Out, Init: graph.InitOne,
		NoDecay: true, State: true}))
}

// layer is one weight with its gates in a traced network.
type layer struct {
	w, gate *graph.Param
	soft    *graph.Param // nil in the training of a ticket
	entry   int          // of soft among the optimizer's
}

// layers finds the weights with gates, in the order of the network.
func layers(g *graph.Graph) []layer {
	byName := map[string]*graph.Param{}
	index := map[string]int{}
	for _, p := range g.States() {
		byName[p.Name] = p
	}
	for i, p := range g.Params() {
		byName[p.Name], index[p.Name] = p, i
	}
	var all []layer
	for _, p := range g.Params() {
		if h := byName[p.Name+gateSuffix]; h != nil && h.State {
			name := p.Name + softSuffix
			all = append(all, layer{w: p, gate: h, soft: byName[name], entry: index[name]})
		}
	}
	return all
}

// engine computes gates and the gradients of soft-mask parameters of one
// network on its device.
type engine struct {
	graph  *graph.Graph
	dev    kernels.Device
	layers []layer
	open   float32 // c: an open gate
	betas  *kernels.Tensor
	row    []float32 // host side of betas
	at     float64   // temperature in betas

	memory       kernels.Buffer
	gates, grads kernels.Executable
}

// newEngine compiles what cfg asks for on the run's network.
func newEngine(cfg *Config, r *trainer.Run) (*engine, error) {
	e := &engine{graph: r.Graph(), dev: r.Device(), layers: layers(r.Graph())}
	if len(e.layers) == 0 {
		return nil, fmt.Errorf("no weight of the network gets gates: %s", cfg.explainNone())
	}
	cols, largest := 0, 0
	for _, l := range e.layers {
		cols, largest = max(cols, l.w.W.Dim(-1)), max(largest, l.w.W.Len())
	}
	e.betas, e.row = kernels.New("temperature", kernels.F32, cols), make([]float32, cols)
	scratch := kernels.New("closing", kernels.F32, largest)
	scratch.Off = (e.betas.Bytes() + 63) &^ 63
	var err error
	if e.memory, err = e.dev.Alloc(scratch.Off + scratch.Bytes()); err != nil {
		return nil, err
	}
	e.betas.Buf, scratch.Buf = e.memory, e.memory
	if e.open, err = e.factor(cfg); err == nil {
		err = e.compile(cfg, scratch)
	}
	if err != nil {
		e.close()
		return nil, err
	}
	return e, nil
}

// factor is c, such that the device's gates are exactly 1 where a round
// begins: a rounding of 1/σ(s₀) that does it, if there is one.
func (e *engine) factor(cfg *Config) (float32, error) {
	if cfg.Scale == ScaleNone {
		return 1, nil
	}
	x := e.betas.View(0, 1)
	run, err := e.dev.Compile([]kernels.Op{&kernels.Unary{X: x, Y: x, Fn: kernels.Sigmoid}})
	if err != nil {
		return 0, err
	}
	defer run.Close()
	one := []float32{float32(cfg.S0)}
	if err := e.dev.WriteF32(x, one); err != nil {
		return 0, err
	}
	if err := run.Run(&kernels.Env{}, nil); err != nil {
		return 0, err
	}
	if err := e.dev.ReadF32(x, one); err != nil {
		return 0, err
	}
	c := float32(1 / float64(one[0]))
	for _, near := range []float32{c, math.Nextafter32(c, 0), math.Nextafter32(c, 100)} {
		if near*one[0] == 1 {
			return near, nil
		}
	}
	return c, nil
}

// compile describes, for every layer with weight w, gradient dw, s, gate m:
//
//	m  = c·σ(β⊙s)
//	ds = β⊙σ(-β⊙s)⊙(w⊙dw + λ·m)
func (e *engine) compile(cfg *Config, scratch *kernels.Tensor) (err error) {
	var gates, grads []kernels.Op
	for _, l := range e.layers {
		w, dw, s, ds, m := l.w.W, l.w.G, l.soft.W, l.soft.G, l.gate.W
		beta := e.betas.View(0, w.Dim(-1))
		z := scratch.View(0, w.Shape...)
		gates = append(gates,
			&kernels.Binary{A: s, B: beta, Y: m, Fn: kernels.Mul},
			&kernels.Unary{X: m, Y: m, Fn: kernels.Sigmoid},
			&kernels.Axpby{X: m, Y: m, Alpha: e.open})
		grads = append(grads,
			&kernels.Binary{A: s, B: beta, Y: z, Fn: kernels.Mul},
			&kernels.Axpby{X: z, Y: z, Alpha: -1},
			&kernels.Unary{X: z, Y: z, Fn: kernels.Sigmoid},
			&kernels.Binary{A: w, B: dw, Y: ds, Fn: kernels.Mul},
			&kernels.Axpby{X: m, Y: ds, Alpha: float32(cfg.Penalty), Beta: 1},
			&kernels.Binary{A: ds, B: z, Y: ds, Fn: kernels.Mul},
			&kernels.Binary{A: ds, B: beta, Y: ds, Fn: kernels.Mul})
	}
	if e.gates, err = e.dev.Compile(gates); err != nil {
		return err
	}
	e.grads, err = e.dev.Compile(grads)
	return err
}

// setSoft makes all gates soft at a temperature.
func (e *engine) setSoft(env *kernels.Env, beta float64) error {
	if e.at != beta {
		for i := range e.row {
			e.row[i] = float32(beta)
		}
		if err := e.dev.WriteF32(e.betas, e.row); err != nil {
			return err
		}
		e.at = beta
	}
	return e.gates.Run(env, nil)
}

// slopes computes the gradients of the soft-mask parameters from the reduced
// ones of the weights, at the gates set last.
func (e *engine) slopes(env *kernels.Env) error { return e.grads.Run(env, nil) }

// setHard makes all gates open or closed.
func (e *engine) setHard() error {
	hard, err := e.hardGates()
	if err != nil {
		return err
	}
	for _, l := range e.layers {
		if err := e.dev.WriteF32(l.gate.W, hard[l.gate.Name]); err != nil {
			return err
		}
	}
	return nil
}

// hardGates are the values of the hard gates, by the names of their states.
func (e *engine) hardGates() (map[string][]float32, error) {
	all := map[string][]float32{}
	for _, l := range e.layers {
		v, err := read(e.dev, l.soft.W)
		if err != nil {
			return nil, err
		}
		harden(v, v, e.open)
		all[l.gate.Name] = v
	}
	return all, nil
}

// freeze keeps s as it is from here on: it has no gradient and no momentum.
func (e *engine) freeze(r *trainer.Run) error {
	for _, l := range e.layers {
		zero := make([]float32, l.soft.W.Len())
		if err := e.dev.WriteF32(l.soft.G, zero); err != nil {
			return err
		}
		for _, slot := range r.Optim().Entries[l.entry].Slots {
			if err := e.dev.WriteF32(slot, zero); err != nil {
				return err
			}
		}
	}
	return nil
}

// harden writes the hard gates of s, which may be dst.
func harden(dst, s []float32, open float32) {
	for i, v := range s {
		dst[i] = 0
		if v > 0 {
			dst[i] = open
		}
	}
}

// fold multiplies the weights by their gates and leaves gates of 0 and 1: the
// network is what it was, and its weights are those that an ordinary network
// has. Closed gates leave +0.
func fold(dev kernels.Device, all []layer) error {
	for _, l := range all {
		w, err := read(dev, l.w.W)
		if err != nil {
			return err
		}
		m, err := read(dev, l.gate.W)
		if err != nil {
			return err
		}
		for i, v := range m {
			if v == 0 {
				w[i] = 0
				continue
			}
			w[i], m[i] = w[i]*v, 1
		}
		if err := dev.WriteF32(l.w.W, w); err != nil {
			return err
		}
		if err := dev.WriteF32(l.gate.W, m); err != nil {
			return err
		}
	}
	return nil
}

func read(dev kernels.Device, t *kernels.Tensor) ([]float32, error) {
	v := make([]float32, t.Len())
	return v, dev.ReadF32(t, v)
}

func (e *engine) close() {
	for _, x := range []kernels.Executable{e.gates, e.grads} {
		if x != nil {
			x.Close()
		}
	}
	if e.memory != nil {
		e.memory.Close()
	}
}
