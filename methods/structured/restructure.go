package structured

import (
	"fmt"
	"slices"

	"github.com/espalier-ml/espalier/kernels/philox"
	"github.com/espalier-ml/espalier/trainer"
	"github.com/espalier-ml/espalier/trainer/graph"
	"github.com/espalier-ml/espalier/trainer/optim"
)

// change makes the network that has the given components, and puts masks into
// it. With fold, masks are multiplied into what they stand on and become 1.
func (m *Method) change(r *trainer.Run, active []bool, fold bool, text string) error {
	s := m.plan.Space
	before, masks := m.units, slices.Clone(m.mu)
	ages := agesMatter(r.Optim().Config)
	stage, came, went := len(r.Births), 0, 0
	seen := slices.Clone(m.archive.seen)
	born := false
	for i := range s.Units() {
		switch {
		case active[i] && !m.active[i]:
			came++
			if ages {
				m.born[i], born = float32(stage), true
			}
			seen[i] = true
		case m.active[i] && !active[i]:
			went++
		}
	}
	mv := &move{archive: m.archive, before: before, old: ranks(s, m.archive.seen), seen: ranks(s, seen), last: fold}
	f := &filler{move: mv, seed: r.Seed(), attach: m.plan.Config.Attach, wasSeen: m.archive.seen}
	m.active, m.archive.seen = active, seen
	m.arrange()
	mv.after = m.units
	m.masks(r.Step)
	f.mask = m.maskOf
	if fold {
		f.fold = m.folding(before, masks)
	}
	if came+went == 0 && !fold {
		return m.setMasks(r)
	}
	mutation := &trainer.Mutation{
		Event: "restructure",
		Text:  fmt.Sprintf("%s: %d units came, %d went; %.2f %% of the full cost", text, came, went, 100*s.Cost(s.Counts(active))/s.FullCost()),
		Sizes: m.sizes(r.Sizes()), Units: between(s, before, m.units), Fill: f.values, Born: born,
	}
	if !ages {
		mutation.FillState = f.state
	}
	r.Propose(mutation)
	return nil
}

// agesMatter reports whether an update depends on the age of what is updated.
// If so, a unit that comes back is as new to the optimizer; otherwise it finds
// its momentum.
func agesMatter(c optim.Config) bool { return c.Kind != optim.SGD || c.Dampening != 0 }

// sizes are those of the network with the present units; other Dims keep
// theirs.
func (m *Method) sizes(now graph.Sizes) graph.Sizes {
	sizes := now.Clone()
	if sizes == nil {
		sizes = graph.Sizes{}
	}
	stages := 1
	for _, b := range sizes {
		stages = max(stages, len(b))
	}
	for i, a := range m.active[:m.plan.Space.Units()] {
		if a {
			stages = max(stages, 1+int(m.born[i]))
		}
	}
	for _, g := range m.plan.Space.Groups {
		bounds := make([]int, stages)
		for _, u := range m.units[g.Dim] {
			for k := int(m.born[g.First+u]); k < stages; k++ {
				bounds[k]++
			}
		}
		sizes[g.Dim] = bounds
	}
	return sizes
}

// arrange orders the present units of every group by the stage in which they
// came, as the optimizer's ages want it, then by number.
func (m *Method) arrange() {
	m.units = ranks(m.plan.Space, m.active)
	for _, g := range m.plan.Space.Groups {
		slices.SortStableFunc(m.units[g.Dim], func(a, b int) int { return int(m.born[g.First+a] - m.born[g.First+b]) })
	}
}

// filler makes the values of a restructured network.
type filler struct {
	move    *move
	seed    uint64
	attach  Attach
	wasSeen []bool
	mask    func(g, u int) float32
	fold    func(p *graph.Param, v []float32) // nil but at the end
}

// values is the trainer.Filler.
func (f *filler) values(old, now *graph.Param, from, to []float32) {
	s := f.move.archive.space
	if isMask(now) {
		f.masks(now, to)
		return
	}
	if !s.mentions(now) {
		copy(to, from)
	} else {
		f.move.pass(now.Name, old, now, from, to)
		f.fresh(now, to)
	}
	if f.fold != nil {
		f.fold(now, to)
	}
}

// state carries optimizer state; that of what is new is zero.
func (f *filler) state(slot int, old, now *graph.Param, from, to []float32) {
	if !f.move.archive.space.mentions(now) {
		return // carried already
	}
	f.move.pass(fmt.Sprintf("%s/%d", now.Name, slot), old, now, from, to)
	for i, v := range to {
		if v != v {
			to[i] = 0
		}
	}
}

// mentions reports whether a parameter has units that may come and go.
func (s *Space) mentions(p *graph.Param) bool {
	return slices.ContainsFunc(p.Axes, func(a graph.Axis) bool {
		if a.Dim == nil {
			return false
		}
		_, ok := s.group[a.Dim.Name]
		return ok
	})
}

// masks sets a state of the method's own.
func (f *filler) masks(now *graph.Param, to []float32) {
	s := f.move.archive.space
	for b, block := range s.Blocks {
		if now.Name == prefix+block.Norm[0] {
			for i := range to {
				to[i] = f.mask(-1, b)
			}
			return
		}
	}
	for g, group := range s.Groups {
		if now.Name == prefix+group.Dim {
			for i := range to {
				to[i] = f.mask(g, i)
			}
			return
		}
		for _, reader := range group.Readers {
			if now.Name == prefix+reader {
				rows(now, group.Dim, to, func(unit int) float32 { return f.mask(g, unit) })
				return
			}
		}
	}
}

// rows gives every entry the value of its unit on the axis that consumes dim,
// which is the first that has it.
func rows(p *graph.Param, dim string, to []float32, value func(unit int) float32) {
	at := slices.IndexFunc(p.Axes, func(a graph.Axis) bool { return a.Dim != nil && a.Dim.Name == dim })
	post := 1
	for _, a := range p.Axes[at+1:] {
		post *= a.Size()
	}
	n := p.Axes[at].Size()
	for i := range to {
		to[i] = value(p.Axes[at].Unit(i / post % n))
	}
}

// fresh sets the entries that never were: NaN.
func (f *filler) fresh(now *graph.Param, to []float32) {
	var places []axisPlaces
	for _, a := range now.Axes {
		places = append(places, f.places(a))
	}
	key, std := philox.NewKey(f.seed, "init/"+now.Name), now.Std()
	at := make([]int, len(places))
	for i, v := range to {
		if v == v {
			continue
		}
		rest := i
		for k := len(places) - 1; k >= 0; k-- {
			n := len(places[k].full)
			at[k], rest = rest%n, rest/n
		}
		to[i] = f.first(now, places, at, key, std)
	}
}

// axisPlaces are the places of an axis's entries in the full network, and
// whether their units were never there.
type axisPlaces struct {
	size  int // of the full axis
	full  []int
	fresh []bool
}

func (f *filler) places(a graph.Axis) axisPlaces {
	p := axisPlaces{size: a.Size(), full: make([]int, a.Size()), fresh: make([]bool, a.Size())}
	for i := range p.full {
		p.full[i] = i
	}
	if a.Dim == nil {
		return p
	}
	list, ok := f.move.after[a.Dim.Name]
	if !ok {
		return p
	}
	s := f.move.archive.space
	g := s.Groups[s.group[a.Dim.Name]]
	n := a.Dim.Size()
	p.size = a.Outer * g.Full * a.Inner
	for i := range p.full {
		inner, unit, outer := i%a.Inner, list[i/a.Inner%n], i/a.Inner/n
		p.full[i], p.fresh[i] = (outer*g.Full+unit)*a.Inner+inner, !f.wasSeen[g.First+unit]
	}
	return p
}

// first is the value of a new entry: where it leads out of a new unit, or
// between units that were there apart, zero, so that what the network computes
// stays; else that of the full network's first values, scaled to the fan-in of
// what is present.
func (f *filler) first(p *graph.Param, places []axisPlaces, at []int, key philox.Key, std float64) float32 {
	switch p.Init {
	case graph.InitZero:
		return 0
	case graph.InitOne:
		return 1
	case graph.InitConst:
		return p.Gain
	}
	if f.attach == AttachZero && p.In >= 0 {
		in, out := places[p.In].fresh[at[p.In]], p.Out < 0 || places[p.Out].fresh[at[p.Out]]
		if in || !out {
			return 0
		}
	}
	last := len(places) - 1
	row, inputs := 0, 1
	for k := range last {
		row = row*places[k].size + places[k].full[at[k]]
		inputs = places[k].size
	}
	j := places[last].full[at[last]]
	n := philox.Normals(key.At(philox.Counter{uint32(row % inputs), uint32(j / 4), uint32(row / inputs)}))
	return float32(std) * n[j%4]
}

// folding multiplies masks into what they stand on. before and mu are the
// units and masks until now; units that only come now have none.
func (m *Method) folding(before positions, mu []float32) func(p *graph.Param, v []float32) {
	s := m.plan.Space
	was := map[string]map[int]bool{}
	for d, list := range before {
		was[d] = map[int]bool{}
		for _, u := range list {
			was[d][u] = true
		}
	}
	of := func(g Group) func(int) float32 {
		return func(u int) float32 {
			unit := m.units[g.Dim][u]
			if !was[g.Dim][unit] {
				return 1
			}
			return mu[g.First+unit]
		}
	}
	scale := func(p *graph.Param, dim string, v []float32, by func(int) float32) {
		f := make([]float32, len(v))
		rows(p, dim, f, by)
		for i := range v {
			v[i] *= f[i]
		}
	}
	return func(p *graph.Param, v []float32) {
		if p.State {
			return
		}
		for _, g := range s.Groups {
			for _, n := range g.Norms {
				if p.Name == n[0] || p.Name == n[1] {
					scale(p, g.Dim, v, of(g))
				}
			}
			if slices.Contains(g.Readers, p.Name) {
				scale(p, g.Dim, v, of(g))
			}
		}
		for b, block := range s.Blocks {
			if p.Name != block.Norm[0] && p.Name != block.Norm[1] {
				continue
			}
			by := mu[s.Units()+b]
			for i := range v {
				if by > 0 && m.active[s.Units()+b] {
					v[i] *= by
				}
			}
		}
	}
}
