package progress

import (
	"fmt"
	"strings"

	"github.com/espalier-ml/espalier/launch/report/figure"
	"github.com/espalier-ml/espalier/trainer/metrics"
)

// Line renders a record, already added to the state, as one plain line
// without its end; "" for one that is not worth a line: a state that was saved.
func (s *State) Line(r metrics.Record) string {
	switch r := r.(type) {
	case *metrics.Start:
		return startText(r)
	case *metrics.Train:
		return s.trainText(r)
	case *metrics.Eval:
		return join("eval", stepText(r.Step, s.start), clean(r.Split), "loss "+figure.Value(float64(r.Loss)), accuracyText(r.Accuracy),
			"of "+figure.Count(r.Count))
	case *metrics.Event:
		if r.Event == metrics.EventCheckpoint {
			return ""
		}
		return join(clean(r.Event), stepText(r.Step, s.start)+eventDetail(*r), clean(figure.Widths(r.Dims)), paramsText(r.Params))
	case *metrics.End:
		return endText(r)
	}
	return ""
}

// join puts two spaces between the parts that are not empty.
func join(parts ...string) string {
	kept := parts[:0]
	for _, p := range parts {
		if p != "" {
			kept = append(kept, p)
		}
	}
	return strings.Join(kept, "  ")
}

func startText(r *metrics.Start) string {
	name := clean(r.Job)
	if r.Run != "" {
		name += " (" + clean(r.Run) + ")"
	}
	params := paramsText(r.Params)
	if r.ParamsFull > r.Params {
		params = figure.Count(r.Params) + " of " + figure.Count(r.ParamsFull) + " parameters"
	}
	return join("start", name, clean(r.Model), params, fmt.Sprintf("%d%s of %d%s", r.World, many(r.World, " worker", " workers"),
		r.Threads, many(r.Threads, " thread", " threads")), figure.Count(r.Steps)+" steps")
}

func (s *State) trainText(r *metrics.Train) string {
	epoch := fmt.Sprintf("epoch %.2f", float64(r.Epoch))
	if s.start != nil && s.start.Epochs > 0 {
		epoch += "/" + whole(s.start.Epochs)
	}
	left := ""
	if seconds, ok := s.left(); ok {
		left = "left " + figure.Clock(seconds)
	}
	return join("train", stepText(r.Step, s.start), epoch, "loss "+figure.Value(float64(r.Loss)), accuracyText(r.Accuracy),
		"lr "+figure.Setting(float64(r.LR)), perSecond(r.SamplesPerSec).String(), left)
}

func endText(r *metrics.End) string {
	var quality string
	switch {
	case r.TestAccuracy != nil:
		quality = "test accuracy " + figure.Percent(float64(*r.TestAccuracy))
	case r.ValLoss != nil:
		quality = "validation loss " + figure.Value(float64(*r.ValLoss))
	}
	return join("end", "step "+figure.Count(r.Step), quality, paramsText(r.Params), figure.Flops(float64(r.TrainFlops)),
		figure.Seconds(float64(r.Seconds)), clean(r.Digest))
}

func stepText(step int64, start *metrics.Start) string {
	if start == nil || start.Steps == 0 {
		return "step " + figure.Count(step)
	}
	return "step " + figure.Count(step) + "/" + figure.Count(start.Steps)
}

func accuracyText(a *metrics.Number) string {
	if a == nil {
		return ""
	}
	return "accuracy " + figure.Percent(float64(*a))
}

func paramsText(n int64) string {
	if n == 0 {
		return ""
	}
	return figure.Count(n) + " parameters"
}
