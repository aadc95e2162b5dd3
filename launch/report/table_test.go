package report

import (
	"bytes"
	"strings"
	"testing"

	"github.com/espalier-ml/espalier/trainer/metrics"
)

func TestTable(t *testing.T) {
	g, f := sample(t)
	text := syntheticGrown
	text.text, text.stopAt = true, 1000
	var out bytes.Buffer
	for _, runs := range [][]*Run{{g, f}, {g}, {run(t, text.records()...)}, {g, f, run(t)}, {run(t)}} {
		if err := Table(&out, runs...); err != nil {
			t.Fatal(err)
		}
		out.WriteByte('\n')
	}
	golden(t, "table.txt", strings.TrimSuffix(out.String(), "\n"))
}

func TestVerdict(t *testing.T) {
	grown := result{name: "grown", finished: true, step: 100, steps: 100, accuracy: new(0.9844), accuracySplit: "test", flops: 41, seconds: 52, fixedFlops: 90}
	fixed := result{name: "fixed", finished: true, step: 100, steps: 100, accuracy: new(0.9861), accuracySplit: "test", flops: 100, seconds: 100}
	with := func(r result, change func(*result)) result { change(&r); return r }
	loss := func(x float64) func(*result) {
		return func(r *result) { r.accuracy, r.loss, r.lossSplit = nil, new(x), "validation" }
	}
	tests := []struct {
		name   string
		main   result
		others []result
		want   string
	}{
		{"compared", grown, []result{fixed}, "98.44 % test accuracy, 0.17 points below fixed, for 41 % of its training FLOPs and 52 % of its seconds."},
		{"better", with(grown, func(r *result) { r.accuracy = new(0.99) }), []result{fixed}, "99.00 % test accuracy, 0.39 points above fixed, for 41 % of its training FLOPs and 52 % of its seconds."},
		{"the same", with(grown, func(r *result) { r.accuracy = new(0.9861) }), []result{fixed}, "98.61 % test accuracy, the same as fixed, for 41 % of its training FLOPs and 52 % of its seconds."},
		{"alone", grown, nil, "98.44 % test accuracy, for 46 % of the FLOPs that training the full-size network would take."},
		{"alone and of full size", with(grown, func(r *result) { r.fixedFlops = 0 }), nil, "98.44 % test accuracy."},
		{"language model", with(grown, loss(1.672)), []result{with(fixed, loss(1.66))}, "1.672 nats of validation loss, 0.012 above fixed, for 41 % of its training FLOPs and 52 % of its seconds."},
		{"unfinished", with(grown, func(r *result) { r.finished, r.step, r.steps = false, 812, 2140 }), []result{fixed}, "Unfinished at step 812 of 2,140, 98.44 % test accuracy, 0.17 points below fixed."},
		{"compared with an unfinished one", grown, []result{with(fixed, func(r *result) { r.finished = false })}, "98.44 % test accuracy, 0.17 points below fixed, while fixed is unfinished."},
		{"nothing yet", result{}, nil, "Unfinished at step 0, not evaluated yet."},
	}
	for _, tt := range tests {
		if got := verdict(tt.main, tt.others); got != tt.want {
			t.Errorf("%s:\n%s\nwant\n%s", tt.name, got, tt.want)
		}
	}
}

func TestResultOfAnUnfinishedRun(t *testing.T) {
	r := resultOf(run(t, &metrics.Start{Steps: 10, Params: 5, ParamsFull: 20, FixedTrainFlops: 1000},
		&metrics.Train{Step: 4, Samples: 40, Flops: 80, Seconds: 2, Loss: 1}, &metrics.Eval{Step: 4, Split: "val", Loss: 1.5, Accuracy: metrics.Of(0.5)},
		&metrics.Event{Step: 5, Event: metrics.EventGrow, Params: 9}))
	if r.finished || r.step != 5 || r.steps != 10 || r.params != 9 || r.samples != 40 || r.flops != 80 || r.rate() != 20 || r.fixedFlops != 1000 {
		t.Errorf("%+v", r)
	}
	if *r.accuracy != 0.5 || r.accuracySplit != "validation" || *r.loss != 1.5 {
		t.Errorf("accuracy %v of %s, loss %v", *r.accuracy, r.accuracySplit, *r.loss)
	}
}
