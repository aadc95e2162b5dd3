package quantize

import (
	"github.com/espalier-ml/espalier/kernels/lowbit"
	"github.com/espalier-ml/espalier/trainer/graph"
)

// relaxed are the relaxed precisions of the channels.
func (e *engine) relaxed(l *layer) ([]float64, error) {
	s, err := read(e.dev, l.s.W)
	if err != nil {
		return nil, err
	}
	m := 1.0
	if e.cfg.Noise == NoiseSMOL {
		w, _, err := e.load(l)
		if err != nil {
			return nil, err
		}
		m = Normal(float64(lowbit.MaxAbs(w)))
	}
	pf := make([]float64, len(s))
	for c, v := range s {
		pf[c] = Relaxed(float64(v), m)
	}
	return pf, nil
}

// choose makes whole bits of relaxed ones.
func (c *Config) choose(pf []float64) []int {
	switch c.Rule {
	case RuleTwo:
		return TwoLevels(pf, c.Group).Of()
	case RuleSySMOL:
		p := make([]int, len(pf))
		for i, x := range pf {
			p[i] = Published421(x, 3)
		}
		return p
	}
	p := make([]int, len(pf))
	for i := range p {
		p[i] = c.Bits
	}
	return p
}

// levels are the whole bits of a layer's channels: those chosen at the switch,
// before it those that would be.
func (e *engine) levels(l *layer, chosen bool) ([]int, error) {
	if !chosen {
		pf, err := e.relaxed(l)
		if err != nil {
			return nil, err
		}
		return e.cfg.choose(pf), nil
	}
	v, err := read(e.dev, l.bits.W)
	if err != nil {
		return nil, err
	}
	p := make([]int, len(v))
	for c, b := range v {
		p[c] = int(b)
	}
	return p, nil
}

// fix chooses the whole bits for good.
func (e *engine) fix() error {
	for _, l := range e.layers {
		p, err := e.levels(l, false)
		if err != nil {
			return err
		}
		v := make([]float32, len(p))
		for c, b := range p {
			v[c] = float32(b)
		}
		if err := e.dev.WriteF32(l.bits.W, v); err != nil {
			return err
		}
	}
	return nil
}

// meanBits is the mean of the whole bits over all weights.
func (e *engine) meanBits() (mean float64, err error) {
	for _, l := range e.layers {
		p, err := e.levels(l, true)
		if err != nil {
			return 0, err
		}
		for _, b := range p {
			mean += float64(b) * float64(l.len()/l.channels) / float64(e.total)
		}
	}
	return mean, nil
}

// round has the network compute with rounded weights. fold makes them its own.
func (e *engine) round(chosen, fold bool) error {
	if err := e.setMode(modeRound); err != nil {
		return err
	}
	for _, l := range e.layers {
		p, err := e.levels(l, chosen)
		if err != nil {
			return err
		}
		w, gate, err := e.load(l)
		if err != nil {
			return err
		}
		m := e.scales(l, w)
		l.round(w, gate, m, p)
		for _, x := range []struct {
			to   *graph.Param
			v    []float32
			when bool
		}{{l.scale, m, true}, {l.used, w, true}, {l.w, w, fold}} {
			if !x.when {
				continue
			}
			if err := e.dev.WriteF32(x.to.W, x.v); err != nil {
				return err
			}
		}
	}
	return nil
}

// round rounds w in place; weights whose gate is closed stay 0.
func (l *layer) round(w, gate, scale []float32, bits []int) {
	rounders := map[int]*lowbit.Rounder{}
	for r := range l.rows {
		p := bits[r%l.channels]
		if rounders[p] == nil {
			rounders[p] = lowbit.NewRounder(p, scale)
		}
		row := w[r*l.outs:][:l.outs]
		rounders[p].Round(row)
		if gate == nil {
			continue
		}
		for i, g := range gate[r*l.outs:][:l.outs] {
			if g == 0 {
				row[i] = 0
			}
		}
	}
}

// meanRelaxed is the mean relaxed precision of all weights.
func (e *engine) meanRelaxed() (mean float64, err error) {
	for _, l := range e.layers {
		pf, err := e.relaxed(l)
		if err != nil {
			return 0, err
		}
		for _, p := range pf {
			mean += p * float64(l.len()/l.channels) / float64(e.total)
		}
	}
	return mean, nil
}
