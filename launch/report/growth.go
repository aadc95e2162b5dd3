package report

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/espalier-ml/espalier/launch/report/chart"
	"github.com/espalier-ml/espalier/trainer/metrics"
)

// growLine is the time line of Dims that always have the same width.
type growLine struct {
	dims   []string
	points []chart.Point // step, width; the last one at the last step
	final  int
}

// name lists a line's Dims, or the first of them and their number.
func (g growLine) name() string {
	if len(g.dims) <= 2 {
		return strings.Join(g.dims, ", ")
	}
	return fmt.Sprintf("%s and %d like it", g.dims[0], len(g.dims)-1)
}

// growLines reads the widths of all Dims over time, widest last; Dims of equal
// history share a line.
func growLines(l *metrics.Log) []growLine {
	widths := map[string][]chart.Point{}
	set := func(step int64, dims map[string]int) {
		for name, width := range dims {
			ps := widths[name]
			if n := len(ps); n > 0 && ps[n-1].Y == float64(width) {
				continue
			}
			widths[name] = append(ps, chart.At(float64(step), float64(width)))
		}
	}
	if l.First != nil {
		set(l.First.Step, l.First.Dims)
	}
	for _, e := range l.Events {
		set(e.Step, e.Dims)
	}
	lines := group(widths, float64(lastStep(l)))
	slices.SortStableFunc(lines, func(a, b growLine) int {
		return cmp.Or(cmp.Compare(a.final, b.final), cmp.Compare(a.dims[0], b.dims[0]))
	})
	return lines
}

// group joins Dims of equal history and extends each line to the last step.
func group(widths map[string][]chart.Point, last float64) []growLine {
	var lines []growLine
	index := map[string]int{} // history in words → line
	for _, name := range slices.Sorted(maps.Keys(widths)) {
		ps := widths[name]
		history := fmt.Sprint(ps)
		if i, ok := index[history]; ok {
			lines[i].dims = append(lines[i].dims, name)
			continue
		}
		index[history] = len(lines)
		end := ps[len(ps)-1]
		lines = append(lines, growLine{dims: []string{name}, final: int(end.Y),
			points: append(slices.Clone(ps), chart.At(max(last, end.X), end.Y))})
	}
	return lines
}

// paramPoints is the number of parameters over time.
func paramPoints(l *metrics.Log) []chart.Point {
	var ps []chart.Point
	set := func(step, params int64) {
		if params > 0 {
			ps = append(ps, chart.At(float64(step), float64(params)))
		}
	}
	if l.First != nil {
		set(l.First.Step, l.First.Params)
	}
	for _, e := range l.Events {
		set(e.Step, e.Params)
	}
	if n := len(ps); n > 0 {
		set(lastStep(l), int64(ps[n-1].Y))
	}
	return ps
}

// lastStep is the last step that the run did, as far as recorded.
func lastStep(l *metrics.Log) int64 {
	if l.End != nil {
		return l.End.Step
	}
	last := int64(0)
	if n := len(l.Train); n > 0 {
		last = l.Train[n-1].Step
	}
	for _, e := range l.Events {
		last = max(last, e.Step)
	}
	return last
}

// eventMarks places events of the named sort on the axis of steps.
func eventMarks(l *metrics.Log, sorts ...string) []chart.Mark {
	var ms []chart.Mark
	for _, e := range l.Events {
		if slices.Contains(sorts, e.Event) {
			ms = append(ms, chart.Mark{X: float64(e.Step), Class: e.Event, Text: fmt.Sprintf("step %d: %s", e.Step, eventText(e))})
		}
	}
	return ms
}
