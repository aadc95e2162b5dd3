package joint

import (
	"errors"

	"github.com/espalier-ml/espalier/kernels"
	"github.com/espalier-ml/espalier/kernels/lowbit"
	"github.com/espalier-ml/espalier/kernels/philox"
	"github.com/espalier-ml/espalier/methods/quantize"
	"github.com/espalier-ml/espalier/trainer/graph"
)

// engine does the arithmetic of a step on the layers of one network, on the
// host: a few passes over weights of which a step makes thousands of products.
type engine struct {
	plan   *Plan
	graph  *graph.Graph
	dev    kernels.Device
	seed   uint64
	layers []*layer
	total  float64 // Σ n·u: what one bit of every weight costs
	mode   *graph.Param
	now    float32 // mode on the device; negative: not known

	weights, other []float32 // of the layer in hand
}

func newEngine(p *Plan, g *graph.Graph, dev kernels.Device, seed uint64) *engine {
	e := &engine{plan: p, graph: g, dev: dev, seed: seed, layers: layers(g), mode: modeOf(g), now: -1}
	most := 0
	for _, l := range e.layers {
		e.total += float64(l.len()) * p.unit(l.w.Name)
		most = max(most, l.len())
	}
	e.weights, e.other = make([]float32, most), make([]float32, most)
	return e
}

func (e *engine) setMode(m float32) error {
	if e.now == m {
		return nil
	}
	e.now = m
	return e.dev.WriteF32(e.mode.W, []float32{m})
}

// plain has the network compute with its own weights.
func (e *engine) plain() error {
	if err := e.setMode(modeOff); err != nil {
		return err
	}
	for _, l := range e.layers {
		w := e.weights[:l.len()]
		if err := errors.Join(e.dev.ReadF32(l.w.W, w), e.dev.WriteF32(l.used.W, w)); err != nil {
			return err
		}
	}
	return nil
}

// gains are what weights of the channels are multiplied by in the search: k·c.
func (e *engine) gains(v []Variable, beta float64) []float32 {
	open := e.plan.Config.factor()
	g := make([]float32, len(v))
	for c := range v {
		g[c] = float32(v[c].Present(beta) * open)
	}
	return g
}

// load reads a weight with the gains of its channels.
func (e *engine) load(l *layer, gains []float32) ([]float32, error) {
	w := e.weights[:l.len()]
	if err := e.dev.ReadF32(l.w.W, w); err != nil {
		return nil, err
	}
	l.scaleBy(w, gains)
	return w, nil
}

func (l *layer) scaleBy(x, gains []float32) {
	l.each(func(_, at, channel int) {
		g := gains[channel]
		row := x[at:][:l.outs]
		for i := range row {
			row[i] *= g
		}
	})
}

// scales are M of every output of every part.
func (l *layer) scales(w []float32) []float32 {
	const least = 1e-12 // rows of zeros
	m := make([]float32, l.parts*l.outs)
	l.each(func(part, at, _ int) { lowbit.Larger(m[part*l.outs:][:l.outs], w[at:][:l.outs]) })
	for i := range m {
		m[i] = max(m[i], least)
	}
	return m
}

// draw makes base·ε of a step for the weights w with their gains: half of the
// row's scale, times noise that knows nothing of ranks and shards.
func (e *engine) draw(l *layer, step uint64, w []float32) {
	l.noise = make([]float32, l.len())
	lowbit.Noise(l.noise, philox.NewKey(e.seed, "joint/"+l.w.Name), philox.Counter{0, 0, uint32(step), uint32(step >> 32)})
	m := l.scales(w)
	l.each(func(part, at, _ int) {
		row := l.noise[at:][:l.outs]
		for i, s := range m[part*l.outs:][:l.outs] {
			row[i] *= s / 2
		}
	})
}

// blur has the network compute as a step of the search does:
// W̃ = k·(c·W + σ(s)·base·ε).
func (e *engine) blur(step uint64) error {
	if err := e.setMode(modeNoise); err != nil {
		return err
	}
	beta := e.plan.Beta(step)
	for _, l := range e.layers {
		v, err := l.variables(e.dev)
		if err != nil {
			return err
		}
		w, err := e.load(l, e.gains(v, beta))
		if err != nil {
			return err
		}
		e.draw(l, step, w)
		l.each(func(_, at, channel int) {
			x := v[channel]
			amplitude := float32(x.Present(beta) * quantize.Sigmoid(x.Precision))
			for i, n := range l.noise[at:][:l.outs] {
				w[at+i] += amplitude * n
			}
		})
		if err := e.dev.WriteF32(l.used.W, w); err != nil {
			return err
		}
	}
	return nil
}

// learn updates the channels by the summed gradients of what the network
// computes with, and makes those the weights' own.
func (e *engine) learn(step uint64) error {
	beta := e.plan.Beta(step)
	for _, l := range e.layers {
		v, err := l.variables(e.dev)
		if err != nil {
			return err
		}
		gains := e.gains(v, beta)
		if l.noise == nil { // traced anew behind the boundary
			w, err := e.load(l, gains)
			if err != nil {
				return err
			}
			e.draw(l, step, w)
		}
		w, grad := e.weights[:l.len()], e.other[:l.len()]
		if err := errors.Join(e.dev.ReadF32(l.w.W, w), e.dev.ReadF32(l.w.G, grad)); err != nil {
			return err
		}
		if err := e.update(l, e.slopes(l, v, beta, w, grad), step-e.plan.First); err != nil {
			return err
		}
		l.scaleBy(grad, gains)
		if err := e.dev.WriteF32(l.w.G, grad); err != nil {
			return err
		}
		l.noise = nil
	}
	return nil
}

// slopes are the gradients of the objective by the channels, price included.
func (e *engine) slopes(l *layer, v []Variable, beta float64, w, grad []float32) []Variable {
	value, noise := make([]float64, len(v)), make([]float64, len(v))
	l.each(func(_, at, channel int) {
		var a, b float64
		for i, g := range grad[at:][:l.outs] {
			a += float64(g) * float64(w[at+i])
			b += float64(g) * float64(l.noise[at+i])
		}
		value[channel] += a
		noise[channel] += b
	})
	open := e.plan.Config.factor()
	price := e.plan.Config.Price / e.total * e.plan.unit(l.w.Name) * float64(l.weights())
	all := make([]Variable, len(v))
	for c, x := range v {
		loss, paid := x.Slope(beta, open*value[c], noise[c]), x.Price(beta)
		all[c] = Variable{loss.Gate + price*paid.Gate, loss.Precision + price*paid.Precision}
	}
	return all
}

// update moves the channels against their slopes; t counts the updates before.
func (e *engine) update(l *layer, slopes []Variable, t uint64) error {
	rates := e.plan.rates()
	move := func(x trained, rate float64, slope func(Variable) float64) error {
		var v [3][]float32
		var err [6]error
		for i, p := range []*graph.Param{x.value, x.mean, x.square} {
			v[i], err[i] = read(e.dev, p.W)
		}
		for c := range slopes {
			a, b, d := quantize.Adam(float64(v[0][c]), float64(v[1][c]), float64(v[2][c]), slope(slopes[c]), rate, t)
			v[0][c], v[1][c], v[2][c] = float32(a), float32(b), float32(d)
		}
		for i, p := range []*graph.Param{x.value, x.mean, x.square} {
			err[3+i] = e.dev.WriteF32(p.W, v[i])
		}
		return errors.Join(err[:]...)
	}
	return errors.Join(
		move(l.gate, rates.Gate, func(v Variable) float64 { return v.Gate }),
		move(l.precision, rates.Precision, func(v Variable) float64 { return v.Precision }),
		e.anchor(l))
}
