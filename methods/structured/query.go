package structured

import "slices"

// Settle turns sampled indicators into a network that can be built: a block
// that is off takes its units along, and every group keeps at least one unit,
// the one with the largest s. With tile > 1 widths are rounded up to multiples
// of it by the units with the largest s. A group inside a block that is off
// keeps one unit, which has no effect: an axis cannot be empty.
func (s *Space) Settle(sampled []bool, masks []float32, tile int) []bool {
	active := slices.Clone(sampled)
	for _, g := range s.Groups {
		units := active[g.First : g.First+g.Full]
		off := g.Block >= 0 && !sampled[s.units+g.Block]
		if off {
			clear(units)
		}
		n := 0
		for _, a := range units {
			if a {
				n++
			}
		}
		want := max(n, 1)
		if tile > 1 && !off {
			want = min((want+tile-1)/tile*tile, g.Full)
		}
		if want > n {
			add(units, masks[g.First:g.First+g.Full], want-n)
		}
	}
	return active
}

// add switches on the n units with the largest s among those that are off; of
// equals, the first.
func add(units []bool, masks []float32, n int) {
	order := byMask(masks)
	for _, i := range order {
		if n == 0 {
			return
		}
		if !units[i] {
			units[i] = true
			n--
		}
	}
}

// byMask orders units from the largest s to the smallest.
func byMask(masks []float32) []int {
	order := make([]int, len(masks))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case masks[a] > masks[b]:
			return -1
		case masks[a] < masks[b]:
			return 1
		}
		return 0
	})
	return order
}

// Decide chooses the finished network: components whose s is above 0, brought to the
// budget exactly where their cost is more than 1 % off. Units are dropped and
// added in the order of their logits βs, `tile` at a time; blocks stay as
// their s has it.
func (s *Space) Decide(logits []float32, budget float64, tile int) []bool {
	active := make([]bool, s.Components())
	for i, z := range logits {
		active[i] = z > 0
	}
	d := &decision{space: s, counts: make([]int, len(s.Groups)), order: make([][]int, len(s.Groups)), logits: logits, tile: tile}
	for i, g := range s.Groups {
		z := logits[g.First : g.First+g.Full]
		d.order[i] = byMask(z)
		for d.counts[i] < g.Full && z[d.order[i][d.counts[i]]] > 0 {
			d.counts[i]++
		}
		if d.fixed(i, active) {
			d.counts[i] = 1
			continue
		}
		d.counts[i] = min(max((d.counts[i]+tile/2)/tile*tile, tile), g.Full)
	}
	d.fit(active, budget)
	for i, g := range s.Groups {
		clear(active[g.First : g.First+g.Full])
		for _, u := range d.order[i][:d.counts[i]] {
			active[g.First+u] = true
		}
	}
	return active
}

// decision holds the number of units of each group, kept from the front of its
// order.
type decision struct {
	space  *Space
	counts []int
	order  [][]int
	logits []float32
	tile   int
}

// fixed reports whether group i lies in a block that is off.
func (d *decision) fixed(i int, active []bool) bool {
	b := d.space.Groups[i].Block
	return b >= 0 && !active[d.space.units+b]
}

func (d *decision) cost(change, by int) float64 {
	n := make([]float64, len(d.counts))
	for i, c := range d.counts {
		n[i] = float64(c)
	}
	if change >= 0 {
		n[change] += float64(by)
	}
	return d.space.Cost(n)
}

// fit drops units until the cost is within the budget, then adds those that
// still fit.
func (d *decision) fit(active []bool, budget float64) {
	if c := d.cost(-1, 0); c > 0.99*budget && c < 1.01*budget {
		return
	}
	for d.cost(-1, 0) > budget {
		i := d.best(active, -1, func(int) bool { return true })
		if i < 0 {
			return
		}
		d.counts[i] -= d.step(i, -1)
	}
	for {
		i := d.best(active, 1, func(i int) bool { return d.cost(i, d.step(i, 1)) <= budget })
		if i < 0 {
			return
		}
		d.counts[i] += d.step(i, 1)
	}
}

// step is how many units group i may lose (way -1) or gain (1) at once.
func (d *decision) step(i, way int) int {
	if way > 0 {
		return min(d.tile, d.space.Groups[i].Full-d.counts[i])
	}
	if over := d.counts[i] % d.tile; over != 0 {
		return over // a full group whose size is no multiple
	}
	return d.tile
}

// best is the group whose next units have the smallest mean logit to drop, or
// the largest to add; -1 when none may change.
func (d *decision) best(active []bool, way int, may func(i int) bool) int {
	found, mean := -1, 0.0
	for i, g := range d.space.Groups {
		n := d.step(i, way)
		if d.fixed(i, active) || way < 0 && d.counts[i]-n < 1 || n == 0 || !may(i) {
			continue
		}
		at := d.counts[i]
		if way < 0 {
			at -= n
		}
		sum := 0.0
		for _, u := range d.order[i][at : at+n] {
			sum += float64(d.logits[g.First+u])
		}
		if m := sum / float64(n); found < 0 || float64(way)*m > float64(way)*mean {
			found, mean = i, m
		}
	}
	return found
}
