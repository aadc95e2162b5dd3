package structured

import (
	"errors"
	"fmt"
	"slices"

	"github.com/espalier-ml/espalier/trainer/graph"
)

// Space is what may be there or not in a network: units of Dims (filters,
// LSTM units, heads, feed-forward units) and residual blocks, together its
// components, and what they cost. It is a function of model and
// configuration.
type Space struct {
	Groups []Group `json:"groups"`
	Blocks []Block `json:"blocks,omitempty"`

	units int
	terms []term
	fixed float64 // cost of what no component can change
	group map[string]int
}

// Group is a Dim; unit i of it is component First+i.
type Group struct {
	Dim   string `json:"dim"`
	Full  int    `json:"full"`
	First int    `json:"first"`
	// Block is the residual block that the Dim lies inside, or -1.
	Block int `json:"block"`
	// Norms name gain and shift of the batch norms that masks stand on;
	// without a norm they stand on the rows of Readers, the weights that
	// consume the Dim.
	Norms   [][2]string `json:"norms,omitempty"`
	Readers []string    `json:"readers,omitempty"`
}

// Block is a residual branch beside an identity; its mask multiplies what
// its last norm returns. Block i is component Units()+i.
type Block struct {
	Norm [2]string `json:"norm"` // gain and shift
}

// term is a part of the cost: each times the product of the groups' numbers of
// units, and, in expectation, the probability of a block.
type term struct {
	each   float64
	groups []int // with repetitions
	block  int   // or -1
}

// NewSpace finds the components of a model in its graph, which is traced at
// full size for evaluation, without methods.
func NewSpace(c *Config, g *graph.Graph) (*Space, error) {
	s := &Space{group: map[string]int{}}
	users := usersOf(g)
	for _, d := range g.Dims() {
		u := users[d]
		if !c.takes(d, u) {
			continue
		}
		switch {
		case d.Carried:
			return nil, fmt.Errorf("structured: dim %s is a residual stream that shortcuts without parameters carry by the numbers of its channels; leave it out, or use a model with projections such as resnet-18", d.Name)
		case len(u.norms) == 0 && len(u.readers) == 0:
			return nil, fmt.Errorf("structured: dim %s has no norm and no weight behind it that could be masked", d.Name)
		}
		s.group[d.Name] = len(s.Groups)
		gr := Group{Dim: d.Name, Full: d.Full, First: s.units, Block: -1, Norms: u.norms}
		if len(gr.Norms) == 0 {
			gr.Readers = u.readers
		}
		s.Groups = append(s.Groups, gr)
		s.units += d.Full
	}
	if len(s.Groups) == 0 {
		return nil, errors.New("structured: no width of the network is restructured: name some with dims")
	}
	if c.Blocks {
		s.findBlocks(g, users)
	}
	s.price(c.Cost, g)
	return s, nil
}

// users are the parameters that mention a Dim.
type users struct {
	producers []*graph.Param // weights whose output it is
	readers   []string       // weights whose input it is
	reads     []*graph.Param
	norms     [][2]string
	table     bool // produced by an embedding
}

func usersOf(g *graph.Graph) map[*graph.Dim]*users {
	m := map[*graph.Dim]*users{}
	for _, d := range g.Dims() {
		m[d] = &users{}
	}
	for _, p := range g.Params() {
		var in, out *graph.Dim
		if p.In >= 0 {
			in = p.Axes[p.In].Dim
		}
		if p.In >= 0 && p.Out >= 0 {
			out = p.Axes[p.Out].Dim
		}
		if in != nil {
			m[in].readers, m[in].reads = append(m[in].readers, p.Name), append(m[in].reads, p)
		}
		if out != nil && out != in {
			m[out].producers = append(m[out].producers, p)
			m[out].table = m[out].table || p.Init == graph.InitStd
		}
	}
	for _, n := range g.Norms() {
		if d := n.Gamma.Axes[0].Dim; d != nil {
			m[d].norms = append(m[d].norms, [2]string{n.Gamma.Name, n.Beta.Name})
		}
	}
	return m
}

// takes reports whether the units of a Dim are components.
func (c *Config) takes(d *graph.Dim, u *users) bool {
	if matches(c.Skip, d.Name) || len(u.producers) == 0 {
		return false
	}
	if len(c.Dims) > 0 {
		return matches(c.Dims, d.Name)
	}
	stream := len(u.producers) > 1 || d.Carried
	return !u.table && (c.Streams || !stream)
}

// findBlocks finds residual branches that may go: those beside an identity
// that hold Dims of their own. A Dim lies inside one if all that reads it
// produces the branch's output or another Dim inside.
func (s *Space) findBlocks(g *graph.Graph, users map[*graph.Dim]*users) {
	dims := g.Dims()
	for _, n := range g.Branches() {
		inside := map[*graph.Dim]bool{}
		within := func(w *graph.Param) bool {
			return slices.Contains(n.Mean.Scaled, w) || w.Out >= 0 && inside[w.Axes[w.Out].Dim]
		}
		for range dims { // from the branch's end to its beginning
			for _, d := range dims {
				reads := users[d].reads
				if len(reads) > 0 && !slices.ContainsFunc(reads, func(w *graph.Param) bool { return !within(w) }) {
					inside[d] = true
				}
			}
		}
		owns := false
		for d := range inside {
			if i, ok := s.group[d.Name]; ok {
				s.Groups[i].Block, owns = len(s.Blocks), true
			}
		}
		if owns {
			s.Blocks = append(s.Blocks, Block{[2]string{n.Gamma.Name, n.Beta.Name}})
		}
	}
}

// price makes the terms of the cost.
func (s *Space) price(c Cost, g *graph.Graph) {
	work := g.Work()
	for _, p := range g.Params() {
		t := term{each: float64(p.W.Len()), block: -1}
		if c == CostFlops {
			t.each = float64(work[p])
		}
		for _, a := range p.Axes {
			if a.Dim == nil {
				continue
			}
			if i, ok := s.group[a.Dim.Name]; ok {
				t.groups = append(t.groups, i)
				t.each /= float64(a.Dim.Full)
				if b := s.Groups[i].Block; b >= 0 {
					t.block = b
				}
			}
		}
		switch {
		case t.each == 0:
		case len(t.groups) == 0:
			s.fixed += t.each
		default:
			s.terms = append(s.terms, t)
		}
	}
}

// Units is the number of units, Components that of units and blocks.
func (s *Space) Units() int { return s.units }

// Components is the number of units and blocks.
func (s *Space) Components() int { return s.units + len(s.Blocks) }

// Counts are the numbers of active units of each group.
func (s *Space) Counts(active []bool) []float64 {
	n := make([]float64, len(s.Groups))
	for i, g := range s.Groups {
		for _, a := range active[g.First : g.First+g.Full] {
			if a {
				n[i]++
			}
		}
	}
	return n
}

// Cost is that of a network with so many units in each group.
func (s *Space) Cost(counts []float64) float64 {
	sum := s.fixed
	for _, t := range s.terms {
		x := t.each
		for _, g := range t.groups {
			x *= counts[g]
		}
		sum += x
	}
	return sum
}

// FullCost is that of the full network.
func (s *Space) FullCost() float64 {
	n := make([]float64, len(s.Groups))
	for i, g := range s.Groups {
		n[i] = float64(g.Full)
	}
	return s.Cost(n)
}

// Expected is the cost with every component's probability in the place of its
// presence.
func (s *Space) Expected(p []float64) float64 {
	mean := make([]float64, len(s.Groups))
	for i, g := range s.Groups {
		for _, x := range p[g.First : g.First+g.Full] {
			mean[i] += x
		}
	}
	cost := s.fixed
	for _, t := range s.terms {
		x := t.each
		for _, g := range t.groups {
			x *= mean[g]
		}
		if t.block >= 0 {
			x *= p[s.units+t.block]
		}
		cost += x
	}
	return cost
}
