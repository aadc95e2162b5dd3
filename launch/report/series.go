package report

import (
	"fmt"
	"slices"

	"github.com/espalier-ml/espalier/launch/report/chart"
	"github.com/espalier-ml/espalier/launch/report/figure"
	"github.com/espalier-ml/espalier/trainer/metrics"
)

// A page shows a curve with pagePoints points, a plot with plotPoints; more
// could not be told apart.
const (
	pagePoints = 240
	plotPoints = 2000
)

// against is what curves are drawn against.
type against struct {
	id, label string
	unit      chart.Unit
	train     func(*metrics.Train) metrics.Number
	eval      func(*metrics.Eval) metrics.Number
}

var (
	againstStep = against{"step", "step", chart.Whole,
		func(r *metrics.Train) metrics.Number { return metrics.Number(r.Step) },
		func(r *metrics.Eval) metrics.Number { return metrics.Number(r.Step) }}
	againstSeconds = against{"seconds", "time of training", chart.Seconds,
		func(r *metrics.Train) metrics.Number { return r.Seconds },
		func(r *metrics.Eval) metrics.Number { return r.Seconds }}
	againstFlops = against{"flops", "training FLOPs", chart.Flops,
		func(r *metrics.Train) metrics.Number { return r.Flops },
		func(r *metrics.Eval) metrics.Number { return r.Flops }}
	againstEpoch = against{"epoch", "epoch", chart.Plain,
		func(r *metrics.Train) metrics.Number { return r.Epoch },
		func(r *metrics.Eval) metrics.Number { return r.Epoch }}
)

// A trainValue or evalValue reads a figure off a record; nil means that the
// record has none.
type (
	trainValue func(*metrics.Train) *metrics.Number
	evalValue  func(*metrics.Eval) *metrics.Number
)

func trainLoss(r *metrics.Train) *metrics.Number     { return &r.Loss }
func trainAccuracy(r *metrics.Train) *metrics.Number { return r.Accuracy }
func learningRate(r *metrics.Train) *metrics.Number  { return &r.LR }
func gradNorm(r *metrics.Train) *metrics.Number      { return &r.GradNorm }
func throughput(r *metrics.Train) *metrics.Number    { return &r.SamplesPerSec }
func trainFlops(r *metrics.Train) *metrics.Number    { return &r.Flops }
func trainSeconds(r *metrics.Train) *metrics.Number  { return &r.Seconds }
func evalLoss(r *metrics.Eval) *metrics.Number       { return &r.Loss }
func evalAccuracy(r *metrics.Eval) *metrics.Number   { return r.Accuracy }

func trainPoints(l *metrics.Log, x against, y trainValue) []chart.Point {
	ps := make([]chart.Point, 0, len(l.Train))
	for i := range l.Train {
		if v := y(&l.Train[i]); v != nil {
			ps = append(ps, chart.At(float64(x.train(&l.Train[i])), float64(*v)))
		}
	}
	return ps
}

func evalPoints(l *metrics.Log, split string, x against, y evalValue) []chart.Point {
	var ps []chart.Point
	for i := range l.Evals {
		if v := y(&l.Evals[i]); v != nil && l.Evals[i].Split == split {
			ps = append(ps, chart.At(float64(x.eval(&l.Evals[i])), float64(*v)))
		}
	}
	return ps
}

// splits lists the parts of the data that a run was evaluated on.
func splits(l *metrics.Log) []string {
	var names []string
	for i := range l.Evals {
		if s := l.Evals[i].Split; !slices.Contains(names, s) {
			names = append(names, s)
		}
	}
	return names
}

// runClass names the look of the run at index i.
func runClass(i int) string { return fmt.Sprintf("c%d", i%4+1) }

// learningLines are the curves of a measure in training and evaluation, for
// each run. Of an undisturbed view only the first run shows its range.
func learningLines(runs []*Run, x against, train trainValue, eval evalValue, points int) []chart.Line {
	var training, evaluation []chart.Line
	for i, r := range runs {
		if ps := trainPoints(r.Log, x, train); len(ps) > 0 {
			training = append(training, chart.Line{Name: r.Name + ", training", Class: runClass(i) + " train",
				Points: chart.Thin(ps, points), Band: i == 0})
		}
		for n, split := range splits(r.Log) {
			look := " eval"
			if n > 0 {
				look = " eval other"
			}
			if ps := evalPoints(r.Log, split, x, eval); len(ps) > 0 {
				evaluation = append(evaluation, chart.Line{Name: r.Name + ", " + splitName(split), Class: runClass(i) + look,
					Points: chart.Thin(ps, points), Dots: len(ps) <= 60})
			}
		}
	}
	return append(training, evaluation...)
}

// trainLines are the curves of a figure of the training loop, for each run.
func trainLines(runs []*Run, x against, y trainValue, points int) []chart.Line {
	var ls []chart.Line
	for i, r := range runs {
		if ps := trainPoints(r.Log, x, y); len(ps) > 0 {
			ls = append(ls, chart.Line{Name: r.Name, Class: runClass(i), Points: chart.Thin(ps, points), Band: i == 0})
		}
	}
	return ls
}

// gapNote names the records whose value is not finite, "" if there are none.
func gapNote(runs []*Run, y trainValue, e evalValue) string {
	n, first := 0, int64(0)
	see := func(step int64, v *metrics.Number) {
		if v == nil || v.Finite() {
			return
		}
		if n == 0 || step < first {
			first = step
		}
		n++
	}
	for _, r := range runs {
		for i := range r.Log.Train {
			see(r.Log.Train[i].Step, y(&r.Log.Train[i]))
		}
		for i := range r.Log.Evals {
			if e != nil {
				see(r.Log.Evals[i].Step, e(&r.Log.Evals[i]))
			}
		}
	}
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("%s not finite (NaN or ∞), the first at step %s; left out.", plural(n, "value is", "values are"), figure.Count(first))
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return figure.Count(int64(n)) + " " + many
}
