package sparsify

import (
	"fmt"
	"strings"

	"github.com/espalier-ml/espalier/trainer"
	"github.com/espalier-ml/espalier/trainer/graph"
)

// remembered are the parameters and running statistics of a network at an
// early step, without soft masks and gates.
type remembered []trainer.Kept

// take reads them from the run.
func (m *remembered) take(r *trainer.Run) error {
	*m = nil
	for _, p := range ordinary(r.Graph()) {
		v, err := read(r.Device(), p.W)
		if err != nil {
			return err
		}
		*m = append(*m, trainer.Kept{Name: p.Name, Shape: p.W.Shape, Values: v})
	}
	return nil
}

// ordinary lists parameters and running statistics that are not sparsify's.
func ordinary(g *graph.Graph) (all []*graph.Param) {
	for _, p := range g.Params() {
		if !p.Local {
			all = append(all, p)
		}
	}
	for _, p := range g.States() {
		if !strings.HasSuffix(p.Name, gateSuffix) {
			all = append(all, p)
		}
	}
	return all
}

// byName makes them a map after comparing them with a network.
func (m remembered) byName(g *graph.Graph) (map[string][]float32, error) {
	all := map[string][]float32{}
	for _, k := range m {
		all[k.Name] = k.Values
	}
	for _, p := range ordinary(g) {
		switch v, ok := all[p.Name]; {
		case !ok:
			return nil, fmt.Errorf("no values for %s are remembered", p.Name)
		case len(v) != p.W.Len():
			return nil, fmt.Errorf("%d values of %s are remembered, it has %d now: %v", len(v), p.Name, p.W.Len(), p)
		}
	}
	return all, nil
}

// filler puts the remembered values and the given gates in place of a
// network's, and leaves everything else.
func (m remembered) filler(g *graph.Graph, gates map[string][]float32) (trainer.Filler, error) {
	all, err := m.byName(g)
	if err != nil {
		return nil, err
	}
	for name, v := range gates {
		all[name] = v
	}
	return func(_, now *graph.Param, from, to []float32) {
		if v, ok := all[now.Name]; ok {
			copy(to, v)
			return
		}
		copy(to, from)
	}, nil
}
