package progress

import (
	"maps"
	"slices"

	"github.com/espalier-ml/espalier/trainer/metrics"
)

const (
	// keptEvents is how many of the last events are kept to be shown.
	keptEvents = 3
	// paceWindow is over how many training records the pace is measured.
	paceWindow = 32
)

// State is what the records so far say about a run. The zero State is a run
// that has not begun.
type State struct {
	start  *metrics.Start
	train  *metrics.Train
	eval   *metrics.Eval
	end    *metrics.End
	best   *metrics.Eval   // the best evaluation so far
	events []metrics.Event // the last of them
	grown  []int64         // steps at which the network grew
	from   int64           // where the last attempt went on
	dims   map[string]int
	params int64
	batch  int
	// pace holds the last training records, oldest first, of this attempt
	// and stage.
	pace []metrics.Train
}

// Add takes in a record.
func (s *State) Add(r metrics.Record) {
	switch r := r.(type) {
	case *metrics.Start:
		*s = State{start: new(*r), dims: maps.Clone(r.Dims), params: r.Params}
	case *metrics.Train:
		s.train = new(*r)
		if n := len(s.pace); n > 0 && s.pace[n-1].Step >= r.Step {
			s.pace = nil
		}
		if len(s.pace) == paceWindow {
			s.pace = append(s.pace[:0], s.pace[1:]...)
		}
		s.pace = append(s.pace, *r)
	case *metrics.Eval:
		s.eval = new(*r)
		if s.best == nil || s.best.Split != r.Split || better(r, s.best) {
			s.best = s.eval
		}
	case *metrics.Event:
		s.addEvent(r)
	case *metrics.End:
		s.end = new(*r)
		s.params = r.Params
	}
}

// better compares by accuracy, or by loss where there is none.
func better(a, b *metrics.Eval) bool {
	if a.Accuracy != nil && b.Accuracy != nil {
		return *a.Accuracy > *b.Accuracy
	}
	return a.Loss < b.Loss
}

func (s *State) addEvent(e *metrics.Event) {
	switch e.Event {
	case metrics.EventGrow:
		s.grown = append(s.grown, e.Step)
		s.pace = nil
	case metrics.EventResume:
		s.rewind(e.Step)
	}
	if len(e.Dims) > 0 {
		if s.dims == nil {
			s.dims = map[string]int{}
		}
		maps.Copy(s.dims, e.Dims)
	}
	if e.Params > 0 {
		s.params = e.Params
	}
	if e.Batch > 0 {
		s.batch = e.Batch
	}
	if len(s.events) == keptEvents {
		s.events = append(s.events[:0], s.events[1:]...)
	}
	kept := *e
	kept.Dims = maps.Clone(e.Dims)
	s.events = append(s.events, kept)
}

// rewind goes back to a step: what was grown later is to be grown again.
func (s *State) rewind(step int64) {
	s.from = step
	s.events = slices.DeleteFunc(s.events, func(e metrics.Event) bool { return e.Step > step })
	for n := len(s.grown); n > 0 && s.grown[n-1] > step; n-- {
		s.grown = s.grown[:n-1]
	}
	s.pace, s.end = nil, nil
	if s.train != nil && s.train.Step > step {
		s.train = nil
	}
	if s.eval != nil && s.eval.Step > step {
		s.eval = nil
	}
	if s.best != nil && s.best.Step > step {
		s.best = nil
	}
}

// recall takes in a whole record; only its outcome is kept.
func (s *State) recall(l *metrics.Log) {
	if l.Start != nil {
		s.Add(l.Start)
	}
	for i := range l.Events {
		if l.Events[i].Event != metrics.EventResume {
			s.Add(&l.Events[i])
		}
	}
	for i := range l.Evals {
		s.Add(&l.Evals[i])
	}
	if n := len(l.Train); n > 0 {
		s.Add(&l.Train[n-1])
	}
	s.pace = nil // time stood still between the attempts
}

// step is the last one known.
func (s *State) step() int64 {
	n := s.from
	if s.train != nil {
		n = max(n, s.train.Step)
	}
	if s.eval != nil {
		n = max(n, s.eval.Step)
	}
	if s.end != nil {
		n = max(n, s.end.Step)
	}
	return n
}

// share is how much of the run is done, by samples if their number is known,
// else by steps; false if neither is.
func (s *State) share() (float64, bool) {
	switch {
	case s.end != nil:
		return 1, true
	case s.start == nil:
		return 0, false
	case s.start.Samples > 0 && s.train != nil && s.train.Samples > 0:
		return min(1, float64(s.train.Samples)/float64(s.start.Samples)), true
	case s.start.Steps > 0:
		return min(1, float64(s.step())/float64(s.start.Steps)), true
	}
	return 0, false
}

// left estimates the seconds of training that remain, from the pace of the
// last records: by work where the total is known (a growing network gets
// slower), else by samples, else by steps.
func (s *State) left() (float64, bool) {
	if s.start == nil || len(s.pace) < 2 || s.end != nil {
		return 0, false
	}
	a, b := s.pace[0], s.pace[len(s.pace)-1]
	seconds := float64(b.Seconds - a.Seconds)
	for _, w := range []struct{ total, from, to float64 }{
		{float64(s.start.TrainFlops), float64(a.Flops), float64(b.Flops)},
		{float64(s.start.Samples), float64(a.Samples), float64(b.Samples)},
		{float64(s.start.Steps), float64(a.Step), float64(b.Step)},
	} {
		if w.total > 0 && w.to > w.from && seconds > 0 {
			return max(0, w.total-w.to) * seconds / (w.to - w.from), true
		}
	}
	return 0, false
}
