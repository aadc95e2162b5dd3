package graph

// Units says where the units of changed Dims come from: for each Dim by name
// and each of its units now, the unit before, or -1 for a new one. A Dim that
// is not listed keeps its first units in place, as growth does.
type Units map[string][]int

// Select calls f for every entry of now that stands for one of old, in
// row-major order of now: entries whose unit on every axis was there before.
func Select(old, now *Param, units Units, f func(from, to int)) {
	sources := make([][]int, len(now.Axes)) // old index of each entry of an axis, or -1
	for i, a := range now.Axes {
		sources[i] = a.sources(old.Axes[i], units)
	}
	var walk func(axis, from, to int)
	walk = func(axis, from, to int) {
		if axis == len(sources) {
			f(from, to)
			return
		}
		n, m := old.Axes[axis].Size(), len(sources[axis])
		for i, s := range sources[axis] {
			if s >= 0 {
				walk(axis+1, from*n+s, to*m+i)
			}
		}
	}
	walk(0, 0, 0)
}

// sources lists the index on the old axis of every entry of a, or -1.
func (a Axis) sources(old Axis, units Units) []int {
	s := make([]int, a.Size())
	if a.Dim == nil {
		for i := range s {
			s[i] = i
		}
		return s
	}
	n, m := old.Dim.Size(), a.Dim.Size()
	of, listed := units[a.Dim.Name]
	for i := range s {
		inner, unit, outer := i%a.Inner, i/a.Inner%m, i/a.Inner/m
		if listed {
			unit = of[unit]
		}
		if unit < 0 || unit >= n {
			s[i] = -1
			continue
		}
		s[i] = (outer*n+unit)*old.Inner + inner
	}
	return s
}
