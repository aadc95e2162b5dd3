package report

import (
	"fmt"
	"math"
	"strings"

	"github.com/espalier-ml/espalier/launch/report/figure"
)

// verdict says in one sentence what came out: quality, and cost against the
// first run it is compared with, or against the computed cost of the
// full-size network.
func verdict(main result, others []result) string {
	var parts []string
	if !main.finished {
		parts = append(parts, unfinished(main))
	}
	quality := qualityOf(main)
	if len(others) > 0 {
		quality += distance(main, others[0])
	}
	parts = append(parts, quality)
	if cost := costOf(main, others); cost != "" {
		parts = append(parts, cost)
	}
	return strings.Join(parts, ", ") + "."
}

func unfinished(r result) string {
	if r.steps == 0 {
		return "Unfinished at step " + figure.Count(r.step)
	}
	return fmt.Sprintf("Unfinished at step %s of %s", figure.Count(r.step), figure.Count(r.steps))
}

func qualityOf(r result) string {
	switch {
	case r.accuracy != nil:
		return figure.Percent(*r.accuracy) + " " + r.accuracySplit + " accuracy"
	case r.loss != nil:
		return figure.Value(*r.loss) + " nats of " + r.lossSplit + " loss"
	}
	return "not evaluated yet"
}

// distance says how far the quality of r is from that of o.
func distance(r, o result) string {
	side := func(d float64, above, below string) string {
		if d < 0 {
			return below
		}
		return above
	}
	switch {
	case r.accuracy != nil && o.accuracy != nil:
		d := *r.accuracy - *o.accuracy
		if math.Abs(d) < 0.00005 {
			return ", the same as " + o.name
		}
		points := strings.TrimSuffix(strings.TrimLeft(figure.Points(d), "+−"), " pt")
		return fmt.Sprintf(", %s points %s %s", points, side(d, "above", "below"), o.name)
	case r.accuracy == nil && r.loss != nil && o.loss != nil:
		d := *r.loss - *o.loss
		if math.Abs(d) < 0.0005 {
			return ", the same as " + o.name
		}
		return fmt.Sprintf(", %s %s %s", strings.TrimLeft(figure.Difference(d), "+−"), side(d, "above", "below"), o.name)
	}
	return ""
}

// costOf compares costs; both runs must have reached their end for that.
func costOf(r result, others []result) string {
	if !r.finished || r.flops <= 0 {
		return ""
	}
	if len(others) > 0 {
		o := others[0]
		if !o.finished || o.flops <= 0 {
			return fmt.Sprintf("while %s is unfinished", o.name)
		}
		s := fmt.Sprintf("for %s of its training FLOPs", figure.Share(r.flops/o.flops))
		if r.seconds > 0 && o.seconds > 0 {
			s += fmt.Sprintf(" and %s of its seconds", figure.Share(r.seconds/o.seconds))
		}
		return s
	}
	if r.fixedFlops > 0 {
		return fmt.Sprintf("for %s of the FLOPs that training the full-size network would take", figure.Share(r.flops/r.fixedFlops))
	}
	return ""
}
