package quantize

import (
	"github.com/espalier-ml/espalier/kernels"
	"github.com/espalier-ml/espalier/kernels/lowbit"
	"github.com/espalier-ml/espalier/kernels/philox"
	"github.com/espalier-ml/espalier/trainer/graph"
)

// engine does the arithmetic of a step on the layers of one network. Weights
// are read to the host and back: what is done to one is a few passes over it,
// where a step makes thousands of products of it.
type engine struct {
	cfg    *Config
	graph  *graph.Graph
	dev    kernels.Device
	seed   uint64
	layers []*layer
	total  int // weights of all layers
	mode   *graph.Param
	now    float32 // mode on the device; negative: not known

	weights, other []float32 // of the layer in hand
	gates          []float32
}

func newEngine(c *Config, g *graph.Graph, dev kernels.Device, seed uint64) *engine {
	e := &engine{cfg: c, graph: g, dev: dev, seed: seed, layers: layers(g), mode: modeOf(g), now: -1}
	most := 0
	for _, l := range e.layers {
		e.total += l.len()
		most = max(most, l.len())
	}
	e.weights, e.other, e.gates = make([]float32, most), make([]float32, most), make([]float32, most)
	return e
}

func (e *engine) setMode(m float32) error {
	if e.now == m {
		return nil
	}
	e.now = m
	return e.dev.WriteF32(e.mode.W, []float32{m})
}

// load reads the weights that a layer would have without this method: gated
// where another method has put gates on them.
func (e *engine) load(l *layer) (w, gate []float32, err error) {
	w = e.weights[:l.len()]
	if err := e.dev.ReadF32(l.w.W, w); err != nil || l.gate == nil {
		return w, nil, err
	}
	gate = e.gates[:l.len()]
	if err := e.dev.ReadF32(l.gate.W, gate); err != nil {
		return nil, nil, err
	}
	for i, g := range gate {
		w[i] *= g
	}
	return w, gate, nil
}

// scales are M of every output.
func (e *engine) scales(l *layer, w []float32) []float32 {
	m := make([]float32, l.outs)
	for r := 0; r < len(w); r += l.outs {
		lowbit.Larger(m, w[r:][:l.outs])
	}
	most := float32(minScale)
	for _, v := range m {
		most = max(most, v)
	}
	for i := range m {
		m[i] = max(m[i], minScale)
		if e.cfg.Scale == ScaleTensor {
			m[i] = most
		}
	}
	return m
}

// plain has the network compute with its own weights.
func (e *engine) plain() error {
	if err := e.setMode(modeOff); err != nil {
		return err
	}
	for _, l := range e.layers {
		w, _, err := e.load(l)
		if err == nil {
			err = e.dev.WriteF32(l.used.W, w)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// blur has it compute with noise of the step: W̃ = W + base·σ(s)·ε.
func (e *engine) blur(step uint64) error {
	if err := e.setMode(modeNoise); err != nil {
		return err
	}
	for _, l := range e.layers {
		w, gate, err := e.load(l)
		if err != nil {
			return err
		}
		s, err := read(e.dev, l.s.W)
		if err != nil {
			return err
		}
		if len(l.noise) != l.len() {
			l.noise = make([]float32, l.len())
		}
		lowbit.Noise(l.noise, noiseKey(e.seed, l.w.Name), philox.Counter{0, 0, uint32(step), uint32(step >> 32)})
		base := e.scales(l, w)
		for i, m := range base {
			base[i] = float32(e.cfg.Noise.base(float64(m)))
		}
		l.blur(w, gate, base, s)
		if err := e.dev.WriteF32(l.used.W, w); err != nil {
			return err
		}
	}
	return nil
}

// blur adds the noise to w and leaves base·ε in l.noise. Weights whose gate is
// closed stay 0; where it is open, the gradient that comes back has passed it.
func (l *layer) blur(w, gate, base, s []float32) {
	for r := range l.rows {
		sigma := float32(Sigmoid(float64(s[r%l.channels])))
		row, noise := w[r*l.outs:][:l.outs], l.noise[r*l.outs:][:l.outs]
		for i, b := range base {
			n := noise[i] * b
			noise[i] = n
			row[i] += sigma * n
		}
		if gate == nil {
			continue
		}
		for i, g := range gate[r*l.outs:][:l.outs] {
			if g == 0 {
				row[i], noise[i] = 0, 0
			} else {
				noise[i] /= g
			}
		}
	}
}

// learn updates the precision variables by the reduced gradients; t counts the
// updates before.
func (e *engine) learn(t uint64, rate float64) error {
	price := e.cfg.Price / float64(e.total)
	for _, l := range e.layers {
		grad := e.other[:l.len()]
		if err := e.dev.ReadF32(l.w.G, grad); err != nil {
			return err
		}
		sums := l.sums(grad)
		var v [3][]float32
		for i, p := range []*graph.Param{l.s, l.mean, l.square} {
			var err error
			if v[i], err = read(e.dev, p.W); err != nil {
				return err
			}
		}
		weights := float64(l.len() / l.channels) // of a channel
		for c := range sums {
			s := float64(v[0][c])
			g := Slope(s, sums[c]) + price*weights*Price(s)
			a, b, d := Adam(s, float64(v[1][c]), float64(v[2][c]), g, rate, t)
			v[0][c], v[1][c], v[2][c] = float32(a), float32(b), float32(d)
		}
		for i, p := range []*graph.Param{l.s, l.mean, l.square} {
			if err := e.dev.WriteF32(p.W, v[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// sums are Σ base·ε·dW of every channel.
func (l *layer) sums(grad []float32) []float64 {
	sums := make([]float64, l.channels)
	for r := range l.rows {
		noise := l.noise[r*l.outs:][:l.outs]
		var a, b float64 // two chains
		for i, g := range grad[r*l.outs:][:l.outs] {
			if i&1 == 0 {
				a += float64(g) * float64(noise[i])
			} else {
				b += float64(g) * float64(noise[i])
			}
		}
		sums[r%l.channels] += a + b
	}
	return sums
}

// project keeps weights within the outermost level: |W| ≤ 2 - σ(s).
func (e *engine) project(l *layer) error {
	w := e.other[:l.len()]
	if err := e.dev.ReadF32(l.w.W, w); err != nil {
		return err
	}
	if lowbit.MaxAbs(w) <= 1 { // below every limit
		return nil
	}
	s, err := read(e.dev, l.s.W)
	if err != nil {
		return err
	}
	for r := range l.rows {
		limit := float32(Limit(float64(s[r%l.channels])))
		for i, v := range w[r*l.outs:][:l.outs] {
			w[r*l.outs+i] = max(-limit, min(limit, v))
		}
	}
	return e.dev.WriteF32(l.w.W, w)
}
