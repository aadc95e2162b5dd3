package report

import (
	"strings"

	"github.com/espalier-ml/espalier/trainer/metrics"
)

// result is the outcome of a run in figures: of its end, or as far as it got.
type result struct {
	name     string
	finished bool
	// step is the last one recorded, steps what the schedule asks for.
	step, steps int64
	samples     int64
	// accuracy and loss on held-out data, nil if never measured, with the
	// name of the data.
	accuracy, loss           *float64
	accuracySplit, lossSplit string
	params, paramsFull       int64
	// flops and seconds spent; fixedFlops is the computed cost of training
	// the full-size network on the same samples, 0 if not known.
	flops, seconds, fixedFlops float64
	digest                     string
	measures                   map[string]float64
}

// resultOf reads the figures off a run's record.
func resultOf(r *Run) result {
	l := r.Log
	s := result{name: r.Name}
	if st := l.Start; st != nil {
		s.steps, s.params, s.paramsFull = st.Steps, st.Params, st.ParamsFull
		s.fixedFlops = finiteOrZero(st.FixedTrainFlops)
	}
	for _, e := range l.Events {
		s.step = max(s.step, e.Step)
		if e.Params > 0 {
			s.params = e.Params
		}
	}
	if n := len(l.Train); n > 0 {
		t := l.Train[n-1]
		s.step, s.samples = max(s.step, t.Step), t.Samples
		s.flops, s.seconds = finiteOrZero(t.Flops), finiteOrZero(t.Seconds)
	}
	for _, e := range l.Evals {
		s.loss, s.lossSplit = new(float64(e.Loss)), splitName(e.Split)
		if e.Accuracy != nil {
			s.accuracy, s.accuracySplit = new(float64(*e.Accuracy)), splitName(e.Split)
		}
	}
	if l.End != nil {
		s.end(l.End)
	}
	return s
}

func (s *result) end(e *metrics.End) {
	s.finished = true
	s.step, s.samples, s.params, s.digest = e.Step, e.Samples, e.Params, e.Digest
	s.flops, s.seconds = finiteOrZero(e.TrainFlops), finiteOrZero(e.Seconds)
	s.measures = map[string]float64{}
	for name, x := range e.Measures {
		s.measures[name] = float64(x)
	}
	if f := finiteOrZero(e.FixedTrainFlops); f > 0 {
		s.fixedFlops = f
	}
	if e.TestAccuracy != nil {
		s.accuracy, s.accuracySplit = new(float64(*e.TestAccuracy)), "test"
	}
	if e.ValLoss != nil {
		s.loss, s.lossSplit = new(float64(*e.ValLoss)), "validation"
	}
}

// rate is the mean throughput in samples a second, 0 if not known.
func (s *result) rate() float64 {
	if s.seconds <= 0 {
		return 0
	}
	return float64(s.samples) / s.seconds
}

func finiteOrZero(x metrics.Number) float64 {
	if !x.Finite() {
		return 0
	}
	return float64(x)
}

// splitName writes out the short name of a part of the data.
func splitName(split string) string {
	switch strings.ToLower(split) {
	case "val", "valid":
		return "validation"
	case "":
		return "held-out"
	}
	return split
}
