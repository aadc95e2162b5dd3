package structured

import (
	"math"
	"slices"

	"github.com/espalier-ml/espalier/trainer"
	"github.com/espalier-ml/espalier/trainer/graph"
)

// archive keeps the values of what was present once: when a unit comes back it
// finds its weights, statistics and momenta as they were. A tensor of the
// archive is laid out like the parameter of a network of all units that were
// seen so far; entries that never were have no number. Tensors whose units are
// all present are not kept.
type archive struct {
	space *Space
	seen  []bool // units that were present once
	kept  map[string][]float32
}

func newArchive(s *Space) *archive {
	return &archive{space: s, seen: make([]bool, s.Units()), kept: map[string][]float32{}}
}

// positions are the units of a group in some order, by their number in it.
type positions map[string][]int

// ranks lists the seen units of each group in order.
func ranks(s *Space, seen []bool) positions {
	m := positions{}
	for _, g := range s.Groups {
		list := []int{}
		for i := range g.Full {
			if seen[g.First+i] {
				list = append(list, i)
			}
		}
		m[g.Dim] = list
	}
	return m
}

// between says where the units `to` lists stand among those `from` lists.
func between(s *Space, from, to positions) graph.Units {
	u := graph.Units{}
	for _, g := range s.Groups {
		at := make([]int, g.Full)
		for i := range at {
			at[i] = -1
		}
		for i, unit := range from[g.Dim] {
			at[unit] = i
		}
		list := make([]int, len(to[g.Dim]))
		for i, unit := range to[g.Dim] {
			list[i] = at[unit]
		}
		u[g.Dim] = list
	}
	return u
}

// layout is p as it would be with the units that `at` lists.
func layout(p *graph.Param, at positions) *graph.Param {
	q := &graph.Param{ParamSpec: p.ParamSpec, Name: p.Name}
	q.Axes = slices.Clone(p.Axes)
	for i, a := range q.Axes {
		if a.Dim == nil {
			continue
		}
		if list, ok := at[a.Dim.Name]; ok {
			q.Axes[i].Dim = &graph.Dim{Name: a.Dim.Name, Full: a.Dim.Full, Bounds: []int{max(len(list), 1)}}
		}
	}
	return q
}

func size(p *graph.Param) int {
	n := 1
	for _, a := range p.Axes {
		n *= a.Size()
	}
	return n
}

// move is a change of structure: from the units before to those after.
type move struct {
	archive       *archive
	before, after positions
	old, seen     positions // seen before and after the move
	last          bool      // nothing comes back any more
}

// pass takes the values of a tensor through the move: to gets what is known of
// it, NaN elsewhere. key names the tensor in the archive.
func (m *move) pass(key string, old, now *graph.Param, from, to []float32) {
	s := m.archive.space
	whole := layout(now, m.seen)
	store := make([]float32, size(whole))
	none := float32(math.NaN())
	for i := range store {
		store[i] = none
	}
	if had := m.archive.kept[key]; had != nil {
		graph.Select(layout(now, m.old), whole, between(s, m.old, m.seen), func(i, j int) { store[j] = had[i] })
	}
	graph.Select(old, whole, between(s, m.before, m.seen), func(i, j int) { store[j] = from[i] })
	for i := range to {
		to[i] = none
	}
	graph.Select(whole, now, between(s, m.seen, m.after), func(i, j int) { to[j] = store[i] })
	if len(store) > len(to) && !m.last {
		m.archive.kept[key] = store
	} else {
		delete(m.archive.kept, key)
	}
}

// list is the archive for a checkpoint.
func (a *archive) list() (out []trainer.Kept) {
	keys := make([]string, 0, len(a.kept))
	for k := range a.kept {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	for _, k := range keys {
		out = append(out, trainer.Kept{Name: "archive." + k, Shape: []int{len(a.kept[k])}, Values: a.kept[k]})
	}
	return out
}
