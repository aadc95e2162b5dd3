package joint

import (
	"errors"
	"slices"

	"github.com/espalier-ml/espalier/kernels"
	"github.com/espalier-ml/espalier/methods/quantize"
	"github.com/espalier-ml/espalier/trainer/graph"
)

// Names of the states that stand beside a weight, and of the one that all
// layers share.
const (
	usedSuffix      = ".used"      // what the network computes with
	gateSuffix      = ".open"      // s₀ of every channel
	precisionSuffix = ".precision" // s of every channel
	meanSuffix      = ".mean"      // Adam's moments of either
	squareSuffix    = ".square"    //
	bitsSuffix      = ".bits"      // whole bits of every channel, all 0 before the switch
	scaleSuffix     = ".scale"     // M of every output
	normSuffix      = ".norm"      // |W| of every channel as the search began
	modeName        = "joint.mode" // what becomes of activations: see kernels.FakeQuant
)

// Modes of activations.
const (
	modeOff   = 0
	modeNoise = 1
	modeRound = 2
)

// declare puts the states of a weight beside it and returns what the layer
// computes with. Of stacked weights, such as templates, each has channels of
// its own.
func (m *Method) declare(g *graph.Graph, p *graph.Param, v *graph.Value) *graph.Value {
	c := &m.plan.Config
	if n := len(p.Axes); p.In != n-2 || p.Out != n-1 {
		graph.Fail("joint: weight %s has no input channels in front of its outputs: leave it out with skip", p.Name)
	}
	if v.T != p.W {
		graph.Fail("joint: weight %s is replaced by another method: leave it out with skip, or take that method out", p.Name)
	}
	if m.tracing != g {
		m.tracing = g
		m.mode = g.Param(modeName, graph.ParamSpec{Axes: []graph.Axis{graph.Fixed(1)}, In: -1, Out: -1, State: true, NoDecay: true})
	}
	state := func(name string, init float64, axes ...graph.Axis) *graph.Value {
		kind := graph.InitZero
		if init != 0 {
			kind = graph.InitConst
		}
		return g.Param(p.Name+name, graph.ParamSpec{Axes: axes, In: -1, Out: len(axes) - 1, Init: kind, Gain: float32(init), NoDecay: true, State: true, Stacked: p.Stacked})
	}
	in, out := []graph.Axis{p.Axes[p.In]}, []graph.Axis{p.Axes[p.Out]}
	if p.Stacked {
		in, out = append([]graph.Axis{p.Axes[0]}, in...), append([]graph.Axis{p.Axes[0]}, out...)
	}
	for _, x := range []struct {
		name string
		init float64
	}{{gateSuffix, c.Gate}, {precisionSuffix, quantize.Variable(c.Bits0)}} {
		state(x.name, x.init, in...)
		state(x.name+meanSuffix, 0, in...)
		state(x.name+squareSuffix, 0, in...)
	}
	state(bitsSuffix, 0, in...)
	state(normSuffix, 0, in...)
	state(scaleSuffix, 0, out...)
	v = v.StandIn(state(usedSuffix, 0, p.Axes...))
	bits := c.Activations.Bits()
	if bits == 0 {
		return v
	}
	mode := m.mode
	return v.Prepare(func(x *graph.Value) *graph.Value { return x.FakeQuant(mode, bits) })
}

// trained is a number of every channel with its moments.
type trained struct{ value, mean, square *graph.Param }

// layer is one priced weight of a traced network, seen as [parts][rows][outs]
// with row r belonging to input channel r % channels of its part.
type layer struct {
	w, used, bits, scale, norm  *graph.Param
	gate, precision             trained
	parts, rows, channels, outs int

	// noise holds base·ε of the step, nil when it is not drawn.
	noise []float32
}

// layers finds the priced weights, in the order of the network.
func layers(g *graph.Graph) []*layer {
	by := map[string]*graph.Param{}
	for _, p := range g.States() {
		by[p.Name] = p
	}
	find := func(name string) trained {
		return trained{by[name], by[name+meanSuffix], by[name+squareSuffix]}
	}
	var all []*layer
	for _, p := range g.Params() {
		if by[p.Name+usedSuffix] == nil || by[p.Name+gateSuffix] == nil {
			continue
		}
		l := &layer{w: p, used: by[p.Name+usedSuffix], bits: by[p.Name+bitsSuffix], scale: by[p.Name+scaleSuffix], norm: by[p.Name+normSuffix],
			gate: find(p.Name + gateSuffix), precision: find(p.Name + precisionSuffix), parts: 1}
		if p.Stacked {
			l.parts = p.Axes[0].Size()
		}
		l.outs, l.channels = p.Axes[p.Out].Size(), p.Axes[p.In].Size()
		l.rows = p.W.Len() / l.outs / l.parts
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

func (l *layer) len() int { return l.parts * l.rows * l.outs }

// all is the number of channels of all parts.
func (l *layer) all() int { return l.parts * l.channels }

// weights is the number of weights of a channel.
func (l *layer) weights() int { return l.len() / l.all() }

// each calls f with every row, its first element and its channel.
func (l *layer) each(f func(part, at, channel int)) {
	for r := range l.parts * l.rows {
		part := r / l.rows
		f(part, r*l.outs, part*l.channels+r%l.rows%l.channels)
	}
}

// variables reads the channels.
func (l *layer) variables(dev kernels.Device) ([]Variable, error) {
	gate, err := read(dev, l.gate.value.W)
	precision, also := read(dev, l.precision.value.W)
	if err := errors.Join(err, also); err != nil {
		return nil, err
	}
	v := make([]Variable, len(gate))
	for c := range v {
		v[c] = Variable{float64(gate[c]), float64(precision[c])}
	}
	return v, nil
}

// levels are the whole bits of the channels: those chosen at the switch, before
// it those that would be.
func (l *layer) levels(dev kernels.Device, chosen bool, group int) ([]int, error) {
	bits := make([]int, l.all())
	if chosen {
		v, err := read(dev, l.bits.W)
		for c, b := range v {
			bits[c] = int(b)
		}
		return bits, err
	}
	v, err := l.variables(dev)
	if err != nil {
		return nil, err
	}
	for p := range l.parts {
		copy(bits[p*l.channels:], Palette(v[p*l.channels:][:l.channels], group))
	}
	return bits, nil
}

func read(dev kernels.Device, t *kernels.Tensor) ([]float32, error) {
	v := make([]float32, t.Len())
	return v, dev.ReadF32(t, v)
}
