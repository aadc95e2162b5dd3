package quantize

import (
	"fmt"
	"slices"

	"github.com/espalier-ml/espalier/kernels"
	"github.com/espalier-ml/espalier/trainer/graph"
)

// Names of the states that stand beside a weight, and of the one that all
// layers share.
const (
	usedSuffix   = ".used"             // what the network computes with
	variable     = ".precision"        // s of every input channel
	meanSuffix   = ".precision.mean"   // Adam's moments of s
	squareSuffix = ".precision.square" //
	levelSuffix  = ".bits"             // whole bits of every channel, 0 before the switch
	scaleSuffix  = ".scale"            // M of every output
	modeName     = "quantize.mode"     // what becomes of activations: see kernels.FakeQuant
	gateSuffix   = ".gate"             // of methods/sparsify
)

// Modes of activations.
const (
	modeOff   = 0
	modeNoise = 1
	modeRound = 2
)

// declare puts the states of a weight beside it and returns what the layer
// computes with.
func (m *Method) declare(g *graph.Graph, p *graph.Param, v *graph.Value) *graph.Value {
	c := &m.plan.Config
	if n := len(p.Axes); p.In != n-2 || p.Out != n-1 {
		graph.Fail("quantize: weight %s has no input channels in front of its outputs: leave it out with skip", p.Name)
	}
	if m.tracing != g {
		m.tracing = g
		m.mode = g.Param(modeName, graph.ParamSpec{Axes: []graph.Axis{graph.Fixed(1)}, In: -1, Out: -1, State: true, NoDecay: true})
	}
	state := func(name string, init graph.InitKind, gain float32, axes ...graph.Axis) *graph.Value {
		return g.Param(p.Name+name, graph.ParamSpec{Axes: axes, In: -1, Out: len(axes) - 1, Init: init, Gain: gain, NoDecay: true, State: true})
	}
	in, out := p.Axes[p.In], p.Axes[p.Out]
	state(variable, graph.InitConst, float32(Variable(c.Bits0)), in)
	state(meanSuffix, graph.InitZero, 0, in)
	state(squareSuffix, graph.InitZero, 0, in)
	state(levelSuffix, graph.InitZero, 0, in)
	state(scaleSuffix, graph.InitZero, 0, out)
	v = v.StandIn(state(usedSuffix, graph.InitZero, 0, p.Axes...))
	bits := c.Activations.Bits()
	if bits == 0 {
		return v
	}
	mode := m.mode
	return v.Prepare(func(x *graph.Value) *graph.Value { return x.FakeQuant(mode, bits) })
}

// layer is one quantized weight of a traced network, seen as [rows][outs] with
// row r belonging to input channel r % channels.
type layer struct {
	w, used, s, mean, square, bits, scale *graph.Param
	gate                                  *graph.Param // nil without methods/sparsify
	rows, channels, outs                  int

	// noise holds base·ε of the step, over the gate where there is one.
	noise []float32
}

// layers finds the quantized weights, in the order of the network.
func layers(g *graph.Graph) []*layer {
	by := map[string]*graph.Param{}
	for _, p := range g.States() {
		by[p.Name] = p
	}
	var all []*layer
	for _, p := range g.Params() {
		if by[p.Name+usedSuffix] == nil || by[p.Name+variable] == nil {
			continue
		}
		l := &layer{w: p, used: by[p.Name+usedSuffix], s: by[p.Name+variable], mean: by[p.Name+meanSuffix], square: by[p.Name+squareSuffix],
			bits: by[p.Name+levelSuffix], scale: by[p.Name+scaleSuffix], gate: by[p.Name+gateSuffix]}
		l.outs, l.channels = p.Axes[p.Out].Size(), p.Axes[p.In].Size()
		l.rows = p.W.Len() / l.outs
		all = append(all, l)
	}
	return all
}

// modeOf is the state that all layers share.
func modeOf(g *graph.Graph) *graph.Param {
	i := slices.IndexFunc(g.States(), func(p *graph.Param) bool { return p.Name == modeName })
	if i < 0 {
		return nil
	}
	return g.States()[i]
}

func (l *layer) len() int { return l.rows * l.outs }

func (l *layer) String() string { return fmt.Sprintf("%s [%d×%d]", l.w.Name, l.rows, l.outs) }

func read(dev kernels.Device, t *kernels.Tensor) ([]float32, error) {
	v := make([]float32, t.Len())
	return v, dev.ReadF32(t, v)
}
