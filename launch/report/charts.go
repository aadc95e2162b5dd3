package report

import (
	"fmt"
	"math"
	"strings"

	"github.com/espalier-ml/espalier/launch/report/chart"
	"github.com/espalier-ml/espalier/launch/report/figure"
	"github.com/espalier-ml/espalier/trainer/metrics"
)

// markedEvents are the sorts of events that charts mark.
var markedEvents = []string{metrics.EventGrow, metrics.EventResume}

// panel is a chart on the page, or the same chart against several things.
type panel struct {
	title, note string
	views       []view
	wide        bool
}

// view is a panel's chart against one thing.
type view struct {
	id    string // of what it is drawn against
	chart chart.Chart
}

// lossPanel shows training and held-out loss against step, time and work.
func lossPanel(runs []*Run) panel {
	p := panel{title: "Loss", note: gapNote(runs, trainLoss, evalLoss)}
	for _, x := range []against{againstStep, againstSeconds, againstFlops} {
		c := chart.Chart{ID: "loss-" + x.id, Title: "Loss against " + x.label, X: chart.Axis{Label: x.label, Unit: x.unit, Zero: true},
			Lines: learningLines(runs, x, trainLoss, evalLoss, pagePoints), Marks: stepMarks(runs, x)}
		c.Y = chart.Axis{Unit: chart.Plain, Log: wideRange(c.Lines)}
		p.views = append(p.views, view{x.id, c})
	}
	return p
}

// stepMarks are the marks of a chart of several runs: events of the first, on
// the axis of steps.
func stepMarks(runs []*Run, x against) []chart.Mark {
	if x.id != againstStep.id {
		return nil
	}
	return eventMarks(runs[0].Log, markedEvents...)
}

// qualityPanel shows accuracy, or the held-out loss alone where the task has
// no accuracy.
func qualityPanel(runs []*Run) panel {
	accuracy := func(x against) []chart.Line {
		return learningLines(runs, x, trainAccuracy, evalAccuracy, pagePoints)
	}
	p := panel{title: "Accuracy", note: gapNote(runs, trainAccuracy, evalAccuracy)}
	read, unit := accuracy, chart.Percent
	if len(accuracy(againstStep)) == 0 {
		none := func(*metrics.Train) *metrics.Number { return nil }
		p = panel{title: "Held-out loss", note: gapNote(runs, none, evalLoss)}
		read = func(x against) []chart.Line { return learningLines(runs, x, none, evalLoss, pagePoints) }
		unit = chart.Plain
	}
	for _, x := range []against{againstStep, againstSeconds, againstFlops} {
		c := chart.Chart{ID: "quality-" + x.id, Title: p.title + " against " + x.label,
			X: chart.Axis{Label: x.label, Unit: x.unit, Zero: true}, Y: chart.Axis{Unit: unit}, Lines: read(x), Marks: stepMarks(runs, x)}
		if unit == chart.Percent {
			c.Y.Floor = floorOf(c.Lines)
		}
		p.views = append(p.views, view{x.id, c})
	}
	return p
}

// single is a panel of one chart.
func single(title, note string, x against, y chart.Axis, lines []chart.Line, marks []chart.Mark) panel {
	id := strings.ReplaceAll(strings.ToLower(title), " ", "-")
	c := chart.Chart{ID: id, Title: title + " against " + x.label,
		X: chart.Axis{Label: x.label, Unit: x.unit, Zero: true}, Y: y, Lines: lines, Marks: marks}
	return panel{title: title, note: note, views: []view{{x.id, c}}}
}

// loopPanels show what drives the training loop and how fast it runs.
func loopPanels(runs []*Run) []panel {
	marks := eventMarks(runs[0].Log, markedEvents...)
	norms := trainLines(runs, againstStep, gradNorm, pagePoints)
	ps := []panel{
		single("Learning rate", gapNote(runs, learningRate, nil), againstStep, chart.Axis{Zero: true}, trainLines(runs, againstStep, learningRate, pagePoints), marks),
		single("Gradient norm", gapNote(runs, gradNorm, nil), againstStep, chart.Axis{Log: wideRange(norms)}, norms, marks),
		single("Samples a second", gapNote(runs, throughput, nil), againstStep, chart.Axis{Zero: true, Unit: chart.Whole}, trainLines(runs, againstStep, throughput, pagePoints), marks),
	}
	for i := range ps { // three abreast
		ps[i].views[0].chart.Width, ps[i].views[0].chart.Height = 390, 240
	}
	return ps
}

// costPanels show how work and time add up over the epochs, beside those of
// the runs compared with or the computed cost of the full-size network.
func costPanels(runs []*Run) []panel {
	flops := trainLines(runs, againstEpoch, trainFlops, pagePoints)
	seconds := trainLines(runs, againstEpoch, trainSeconds, pagePoints)
	for i := range flops {
		flops[i] = accumulated(flops[i], figure.Flops)
	}
	for i := range seconds {
		seconds[i] = accumulated(seconds[i], figure.Seconds)
	}
	if line, ok := computedCost(runs); ok {
		flops = append(flops, line)
	}
	return []panel{
		single("Training FLOPs spent", gapNote(runs, trainFlops, nil), againstEpoch, chart.Axis{Zero: true, Unit: chart.Flops}, flops, nil),
		single("Time spent", gapNote(runs, trainSeconds, nil), againstEpoch, chart.Axis{Zero: true, Unit: chart.Seconds}, seconds, nil),
	}
}

// accumulated makes a line of a sum: from zero, filled, with its total.
func accumulated(l chart.Line, show func(float64) string) chart.Line {
	l.Band, l.Fill = false, true
	l.Points = append([]chart.Point{chart.At(0, 0)}, l.Points...)
	if last := l.Points[len(l.Points)-1].Y; !math.IsNaN(last) {
		l.End = show(last)
	}
	return l
}

// computedCost is the straight line to the cost of training the full-size
// network, for a run that is compared with no other.
func computedCost(runs []*Run) (chart.Line, bool) {
	r, log := resultOf(runs[0]), runs[0].Log
	if len(runs) > 1 || r.fixedFlops <= 0 || len(log.Train) == 0 {
		return chart.Line{}, false
	}
	epochs := float64(log.Train[len(log.Train)-1].Epoch)
	if !r.finished {
		if log.Start == nil || log.Start.Epochs <= 0 {
			return chart.Line{}, false
		}
		epochs = float64(log.Start.Epochs)
	}
	return chart.Line{Name: "full size, computed", Class: "c2 computed", End: figure.Flops(r.fixedFlops),
		Points: []chart.Point{chart.At(0, 0), chart.At(epochs, r.fixedFlops)}}, true
}

// growthPanels show the width of every Dim and the number of parameters.
func growthPanels(r *Run) []panel {
	var ps []panel
	marks := eventMarks(r.Log, markedEvents...)
	var lines []chart.Line
	all := growLines(r.Log)
	for i, g := range all {
		lines = append(lines, chart.Line{Name: g.name(), Class: dimClass(i, len(all)), Points: g.points, Steps: true})
		if len(all) <= maxDimColours {
			lines[i].End = fmt.Sprintf("%s: %d", shortName(g), g.final)
		}
	}
	if len(lines) > 0 {
		p := single("Width of each Dim", "", againstStep, chart.Axis{Unit: chart.Whole, Log: wideRange(lines), Zero: true}, lines, marks)
		p.views[0].chart.Height = 340
		ps = append(ps, p)
	}
	if points := paramPoints(r.Log); len(points) > 1 {
		line := chart.Line{Name: "parameters", Class: "c1", Points: points, Steps: true, Fill: true,
			End: figure.Count(int64(points[len(points)-1].Y))}
		p := single("Parameters", "", againstStep, chart.Axis{Unit: chart.Whole, Zero: true}, []chart.Line{line}, marks)
		p.views[0].chart.Height = 200
		ps = append(ps, p)
	}
	for i := range ps {
		ps[i].wide = true
		ps[i].views[0].chart.Width, ps[i].views[0].chart.Right = 1140, 130
	}
	return ps
}

// maxDimColours is how many lines of Dims can be told apart by colour.
const maxDimColours = 8

func dimClass(i, n int) string {
	if n > maxDimColours {
		return fmt.Sprintf("d%d", i*maxDimColours/n+1)
	}
	return fmt.Sprintf("d%d", i+1)
}

// shortName is a line's name at its end: the first Dim and how many more.
func shortName(g growLine) string {
	name := []rune(g.dims[0])
	if len(name) > 14 {
		name = append(name[:13], '…')
	}
	if len(g.dims) > 1 {
		return fmt.Sprintf("%s +%d", string(name), len(g.dims)-1)
	}
	return string(name)
}

// wideRange reports whether values spread so far that only a logarithmic axis
// shows all of them.
func wideRange(lines []chart.Line) bool {
	lo, hi := math.Inf(1), 0.0
	for _, l := range lines {
		for _, p := range l.Points {
			if p.Y > 0 {
				lo, hi = min(lo, p.Y), max(hi, p.Y)
			}
		}
	}
	return hi/lo >= 12
}

// floorOf cuts the first steep rise of accuracies off where they end high:
// the axis begins at the worst value after a tenth of the run.
func floorOf(lines []chart.Line) *float64 {
	lo, best := math.Inf(1), 0.0
	for _, l := range lines {
		skip := len(l.Points) / 10
		for _, p := range l.Points[skip:] {
			if !math.IsNaN(p.Y) {
				lo, best = min(lo, p.Y), max(best, p.Y)
			}
		}
	}
	if best < 0.8 || math.IsInf(lo, 1) {
		return nil
	}
	step := 0.1
	if 1-lo < 0.15 {
		step = 0.02
	}
	return new(math.Floor(lo/step) * step)
}
