package report

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/espalier-ml/espalier/launch/report/figure"
)

// grid is the result table: a head and rows of as many cells, the first of
// them the row's name.
type grid struct {
	head []string
	rows [][]string
}

// Table writes the result table as aligned plain text: a column a run, and
// behind each run that the first is compared with the first's ratio to it.
// Without such a run the computed cost of the full-size network stands there.
func Table(w io.Writer, runs ...*Run) error {
	if len(runs) == 0 {
		return errors.New("report: no run to tabulate")
	}
	_, err := io.WriteString(w, resultTable(runs).text())
	return err
}

// resultTable compares the first run with the others.
func resultTable(runs []*Run) grid {
	main := resultOf(runs[0])
	others := make([]result, 0, len(runs)-1)
	for _, r := range runs[1:] {
		others = append(others, resultOf(r))
	}
	g := grid{head: []string{"", main.name}}
	for _, o := range others {
		g.head = append(g.head, o.name, main.name+" / "+o.name)
	}
	computed := len(others) == 0 && main.fixedFlops > 0
	if computed {
		g.head = append(g.head, "full size, computed", "ratio")
	}
	for _, l := range slices.Concat(lines, measured(main)) {
		if row := l.row(main, others, computed); row != nil {
			g.rows = append(g.rows, row)
		}
	}
	return g
}

// line is a row of the result table: how to read and show a figure, and how
// to compare it.
type line struct {
	name func(r result) string
	// value returns false if the run has none.
	value   func(r result) (float64, bool)
	show    func(x float64) string
	compare func(a, b float64) string
	// computed is the figure of the full-size network, if that can be known
	// without training it.
	computed func(r result) (float64, bool)
}

var lines = []line{
	{name: func(r result) string { return r.accuracySplit + " accuracy" }, value: func(r result) (float64, bool) { return deref(r.accuracy) },
		show: figure.Percent, compare: difference(figure.Points)},
	{name: func(r result) string { return r.lossSplit + " loss" }, value: func(r result) (float64, bool) { return deref(r.loss) },
		show: figure.Value, compare: difference(figure.Difference)},
	{name: named("parameters"), value: func(r result) (float64, bool) { return positive(float64(r.params)) },
		show: count, compare: figure.Ratio, computed: func(r result) (float64, bool) { return positive(float64(r.paramsFull)) }},
	{name: named("training FLOPs"), value: func(r result) (float64, bool) { return positive(r.flops) },
		show: figure.Flops, compare: figure.Ratio, computed: func(r result) (float64, bool) { return positive(r.fixedFlops) }},
	{name: named("seconds"), value: func(r result) (float64, bool) { return positive(r.seconds) },
		show: plainSeconds, compare: figure.Ratio},
	{name: named("steps"), value: func(r result) (float64, bool) { return positive(float64(r.step)) },
		show: count, compare: figure.Ratio},
	{name: named("samples"), value: func(r result) (float64, bool) { return positive(float64(r.samples)) },
		show: count, compare: figure.Ratio},
	{name: named("samples a second"), value: func(r result) (float64, bool) { return positive(r.rate()) },
		show: func(x float64) string { return figure.Count(int64(x + 0.5)) }, compare: figure.Ratio},
}

// measured are the lines of what methods say about the network.
func measured(r result) (all []line) {
	for _, name := range slices.Sorted(maps.Keys(r.measures)) {
		all = append(all, line{name: named(name), show: figure.Value, compare: figure.Ratio,
			value: func(r result) (float64, bool) { x, ok := r.measures[name]; return x, ok }})
	}
	return all
}

// row returns the line's cells, nil if no run has the figure. The computed
// cost is that of a whole run, so an unfinished one has no ratio to it.
func (l line) row(main result, others []result, computed bool) []string {
	a, okA := l.value(main)
	row := []string{"", l.cell(a, okA)}
	any := okA
	if okA {
		row[0] = l.name(main)
	}
	for _, o := range others {
		b, okB := l.value(o)
		row = append(row, l.cell(b, okB), l.ratio(a, okA, b, okB))
		if okB && row[0] == "" {
			row[0] = l.name(o)
		}
		any = any || okB
	}
	if computed {
		b, okB := 0.0, false
		if l.computed != nil {
			b, okB = l.computed(main)
		}
		row = append(row, l.cell(b, okB), l.ratio(a, okA && main.finished, b, okB))
	}
	if !any {
		return nil
	}
	return row
}

func (l line) cell(x float64, ok bool) string {
	if !ok {
		return figure.Missing
	}
	return l.show(x)
}

func (l line) ratio(a float64, okA bool, b float64, okB bool) string {
	if !okA || !okB {
		return figure.Missing
	}
	return l.compare(a, b)
}

// text aligns the cells: names to the left, figures to the right.
func (g grid) text() string {
	all := append([][]string{g.head}, g.rows...)
	widths := make([]int, len(g.head))
	for _, row := range all {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	for n, row := range all {
		for i, cell := range row {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if i == 0 {
				b.WriteString(cell + pad)
			} else {
				b.WriteString("   " + pad + cell)
			}
		}
		b.WriteByte('\n')
		if n == 0 {
			total := 3 * (len(widths) - 1)
			for _, w := range widths {
				total += w
			}
			fmt.Fprintln(&b, strings.Repeat("─", total))
		}
	}
	return b.String()
}

func named(s string) func(result) string { return func(result) string { return s } }

// plainSeconds writes a number of seconds as such, so that columns compare.
func plainSeconds(x float64) string {
	switch {
	case x >= 1000:
		return figure.Count(int64(x + 0.5))
	case x < 10:
		return fmt.Sprintf("%.2f", x)
	}
	return fmt.Sprintf("%.1f", x)
}

func count(x float64) string { return figure.Count(int64(x)) }

func deref(x *float64) (float64, bool) {
	if x == nil {
		return 0, false
	}
	return *x, true
}

func positive(x float64) (float64, bool) { return x, x > 0 }

func difference(show func(float64) string) func(a, b float64) string {
	return func(a, b float64) string { return show(a - b) }
}
