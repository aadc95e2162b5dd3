package metrics

import "slices"

// Log is a run as its records tell it, in order of steps. The zero Log is
// empty and ready for Add. It must not be used from several goroutines while
// one of them adds.
type Log struct {
	// Start is the last start record and First the one of the first attempt,
	// nil if there was none. They differ after a resume that wrote its own.
	Start, First *Start

	Train  []Train
	Evals  []Eval
	Events []Event
	// End is nil while the run has not reached its last step.
	End *End
	// Resumes counts resume events, those of forgotten attempts included.
	Resumes int
	// Torn tells that a half-written last line was left out.
	Torn bool
}

// Add appends a record. Time only goes forward in a Log: a resume event at
// step s forgets what was recorded after s, and a record that repeats a step
// (because the steps since the last checkpoint were run again) replaces the
// one of the earlier attempt.
func (l *Log) Add(r Record) {
	switch r := r.(type) {
	case *Start:
		if l.First == nil || r.Step <= l.First.Step {
			l.First = r
		}
		l.Start = r
	case *Train:
		l.addTrain(r)
	case *Eval:
		l.Evals = replace(l.Evals, *r, evalStep, func(e Eval) bool { return e.Split == r.Split })
	case *Event:
		if r.Event == EventResume {
			l.Resumes++
			l.forget(r.Step)
		}
		l.Events = replace(l.Events, *r, eventStep, func(e Event) bool { return e.Event == r.Event && e.Text == r.Text })
	case *End:
		l.End = r
	}
}

func (l *Log) addTrain(r *Train) {
	if n := len(l.Train); n > 0 && l.Train[n-1].Step > r.Step {
		l.forget(r.Step)
	}
	if n := len(l.Train); n > 0 && l.Train[n-1].Step == r.Step {
		l.Train[n-1] = *r
		return
	}
	l.Train = append(l.Train, *r)
}

func evalStep(e Eval) int64   { return e.Step }
func eventStep(e Event) int64 { return e.Step }

// replace appends r to a list ordered by step, after deleting those of r's
// step that are the same thing.
func replace[R any](list []R, r R, step func(R) int64, same func(R) bool) []R {
	tail := len(list)
	for tail > 0 && step(list[tail-1]) >= step(r) {
		tail--
	}
	old := slices.DeleteFunc(list[tail:], func(o R) bool { return step(o) == step(r) && same(o) })
	return append(list[:tail+len(old)], r)
}

// forget drops all records of steps after s. The start is kept: it is what
// the attempts have in common.
func (l *Log) forget(s int64) {
	l.Train = slices.DeleteFunc(l.Train, func(r Train) bool { return r.Step > s })
	l.Evals = slices.DeleteFunc(l.Evals, func(r Eval) bool { return r.Step > s })
	l.Events = slices.DeleteFunc(l.Events, func(r Event) bool { return r.Step > s })
	if l.End != nil && l.End.Step > s {
		l.End = nil
	}
}
