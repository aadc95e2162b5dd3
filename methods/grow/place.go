package grow

import "github.com/espalier-ml/espalier/trainer/graph"

// spot is an entry of one axis of a grown parameter.
type spot struct {
	isNew bool
	// own numbers the entry by (unit, outer, inner), whatever the layout.
	// pair does so with both members of a new pair counted as one: they
	// share the number, and sign tells them apart. A new unit without a
	// partner has sign 0.
	own, pair int
	sign      float32
	// old is the index on the old axis of the entry of unit source.
	old int
}

// spots describes the entries of an axis that grew from old. source gives
// the old unit that stands for a new one; nil means none does.
func spots(old, now graph.Axis, source func(unit int) int) []spot {
	s := make([]spot, now.Size())
	if now.Dim == nil {
		for i := range s {
			s[i] = spot{own: i, pair: i, sign: 1, old: i}
		}
		return s
	}
	n, m := old.Dim.Size(), now.Dim.Size()
	number := func(unit, outer, inner int) int { return (unit*now.Outer+outer)*now.Inner + inner }
	for i := range s {
		inner, unit, outer := i%now.Inner, i/now.Inner%m, i/now.Inner/m
		p := spot{own: number(unit, outer, inner), sign: 1}
		p.pair = p.own
		from := unit
		if unit >= n {
			p.isNew = true
			p.pair, p.sign = number(n+(unit-n)/2, outer, inner), pairSign(unit-n, m-n)
			from = 0
			if source != nil {
				from = source(unit)
			}
		}
		p.old = (outer*n+from)*old.Inner + inner
		s[i] = p
	}
	return s
}

// pairSign is the sign of the i-th of n new units: pairs stand side by side,
// and the last of an odd number has none.
func pairSign(i, n int) float32 {
	switch {
	case i%2 == 1:
		return -1
	case i == n-1:
		return 0
	}
	return 1
}

// place is an entry of a grown parameter.
type place struct {
	index         int // in row-major order
	from          int // of the entry that stands for it in the old parameter
	in, out       spot
	rest          int // row-major index on the axes that are neither in nor out
	newIn, newOut bool
}

// walk calls f for every entry of now in order. The place is reused. A Dim on
// an axis that is neither in nor out counts as produced.
func walk(old, now *graph.Param, f func(at *place)) { walkFrom(old, now, nil, f) }

func walkFrom(old, now *graph.Param, source func(d *graph.Dim, from, unit int) int, f func(at *place)) {
	axes := make([][]spot, len(now.Axes))
	for i, a := range now.Axes {
		var of func(int) int
		if source != nil && a.Dim != nil {
			of = func(unit int) int { return source(a.Dim, old.Axes[i].Dim.Size(), unit) }
		}
		axes[i] = spots(old.Axes[i], a, of)
	}
	at := place{in: spot{sign: 1}, out: spot{sign: 1}}
	var step func(axis, from, rest int, newOut bool)
	step = func(axis, from, rest int, newOut bool) {
		if axis == len(axes) {
			at.from, at.rest = from, rest
			at.newIn, at.newOut = at.in.isNew, newOut
			f(&at)
			at.index++
			return
		}
		for i, s := range axes[axis] {
			r, isNew := rest, newOut
			switch axis {
			case now.In:
				at.in = s
			case now.Out:
				at.out, isNew = s, newOut || s.isNew
			default:
				r, isNew = rest*len(axes[axis])+i, newOut || s.isNew
			}
			step(axis+1, from*old.Axes[axis].Size()+s.old, r, isNew)
		}
	}
	step(0, 0, 0, false)
}
