package reproduce

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
)

// Table writes the result as Markdown: what was run, and the arms beside each
// other; for a sweep one table an arm.
func (r *Result) Table() string {
	var b strings.Builder
	e := &r.Experiment
	fmt.Fprintf(&b, "# %s\n\nTo be shown: %s\n\n    %s\n\n", e.Title, e.Claim, r.command())
	if len(e.Sweep) == 2 {
		for _, a := range e.Arms {
			r.sweep(&b, a.Name)
		}
		return b.String()
	}
	r.compare(&b)
	for _, m := range e.Front {
		r.writeFront(&b, m)
	}
	return b.String()
}

func (r *Result) command() string {
	c := "espalier reproduce " + r.Experiment.Name
	if len(r.Seeds) != r.Experiment.Seeds || r.Seeds[0] != 1 {
		var s []string
		for _, x := range r.Seeds {
			s = append(s, fmt.Sprint(x))
		}
		c += " --seeds " + strings.Join(s, ",")
	}
	for _, s := range r.Set {
		c += " --set " + s
	}
	return c
}

// compare writes a row an arm. Differences and ratios are means over pairs
// with the first arm.
func (r *Result) compare(b *strings.Builder) {
	base := r.Cells[0]
	quality, unit := "accuracy, %", "points"
	if base.Outcomes[0].Accuracy == nil {
		quality, unit = "loss, nats", "nats"
	}
	measures := map[string]bool{}
	for _, c := range r.Cells {
		for _, o := range c.Outcomes {
			for name := range o.Measures {
				measures[name] = true
			}
		}
	}
	names := slices.Sorted(maps.Keys(measures))
	head := []string{"", quality, "to " + base.Arm + ", " + unit, "worst seed", "training FLOPs", "seconds", "parameters"}
	row(b, append(head, names...))
	row(b, slices.Repeat([]string{"---"}, len(head)+len(names)))
	for _, c := range r.Cells {
		off := pairs(c, base, func(x, y *Outcome) float64 { return x.Quality() - y.Quality() })
		worst := slices.Min(off)
		if unit == "nats" {
			worst = slices.Max(off)
		}
		cells := []string{c.Arm, spread(values(c, (*Outcome).Quality)), fmt.Sprintf("%+.2f", mean(off)), fmt.Sprintf("%+.2f", worst),
			ratio(c, base, func(o *Outcome) float64 { return o.Flops }), ratio(c, base, func(o *Outcome) float64 { return o.Seconds }),
			ratio(c, base, func(o *Outcome) float64 { return o.Params })}
		for _, n := range names {
			cells = append(cells, measure(c, n))
		}
		row(b, cells)
	}
	fmt.Fprintf(b, "\nSeeds %v; mean ± standard deviation over seeds; FLOPs, seconds and parameters as shares of %s, mean of the pairs.\n", r.Seeds, base.Arm)
	fmt.Fprintf(b, "%s took %.1f s a run on %d workers with %d threads.\n\n", base.Arm, mean(values(base, func(o *Outcome) float64 { return o.Seconds })), base.Outcomes[0].World, max(1, base.Outcomes[0].Threads))
}

// sweep writes one arm as a matrix of qualities.
func (r *Result) sweep(b *strings.Builder, arm string) {
	rows, cols := r.Experiment.Sweep[0], r.Experiment.Sweep[1]
	fmt.Fprintf(b, "## %s\n\n", arm)
	row(b, append([]string{rows.Key + " \\ " + cols.Key}, cols.Values...))
	row(b, slices.Repeat([]string{"---"}, len(cols.Values)+1))
	m := r.matrix(arm)
	for i, v := range rows.Values {
		cells := []string{v}
		for _, x := range m[i] {
			cells = append(cells, fmt.Sprintf("%.2f", x))
		}
		row(b, cells)
	}
	b.WriteByte('\n')
}

// matrix is the mean quality of an arm over the sweep.
func (r *Result) matrix(arm string) (m [][]float64) {
	cols := len(r.Experiment.Sweep[1].Values)
	for _, c := range r.Cells {
		if c.Arm != arm {
			continue
		}
		if len(m) == 0 || len(m[len(m)-1]) == cols {
			m = append(m, nil)
		}
		m[len(m)-1] = append(m[len(m)-1], mean(values(c, (*Outcome).Quality)))
	}
	return m
}

func row(b *strings.Builder, cells []string) { fmt.Fprintf(b, "| %s |\n", strings.Join(cells, " | ")) }

func values(c Cell, f func(*Outcome) float64) (all []float64) {
	for i := range c.Outcomes {
		all = append(all, f(&c.Outcomes[i]))
	}
	return all
}

// pairs applies f to the outcomes of equal seeds.
func pairs(a, b Cell, f func(x, y *Outcome) float64) (all []float64) {
	for i := range a.Outcomes {
		all = append(all, f(&a.Outcomes[i], &b.Outcomes[i]))
	}
	return all
}

func ratio(c, base Cell, f func(*Outcome) float64) string {
	return fmt.Sprintf("%.3f", mean(pairs(c, base, func(x, y *Outcome) float64 { return f(x) / f(y) })))
}

func measure(c Cell, name string) string {
	var all []float64
	for _, o := range c.Outcomes {
		if v, ok := o.Measures[name]; ok {
			all = append(all, v)
		}
	}
	if len(all) == 0 {
		return ""
	}
	return fmt.Sprintf("%.4g", mean(all))
}

func mean(x []float64) (m float64) {
	for _, v := range x {
		m += v
	}
	return m / float64(max(1, len(x)))
}

// spread is the mean with the sample's standard deviation.
func spread(x []float64) string {
	m, sq := mean(x), 0.0
	for _, v := range x {
		sq += (v - m) * (v - m)
	}
	if len(x) < 2 {
		return fmt.Sprintf("%.2f", m)
	}
	return fmt.Sprintf("%.2f ± %.2f", m, math.Sqrt(sq/float64(len(x)-1)))
}
