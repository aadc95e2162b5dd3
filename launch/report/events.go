package report

import (
	"fmt"
	"slices"

	"github.com/espalier-ml/espalier/launch/report/figure"
	"github.com/espalier-ml/espalier/trainer/metrics"
)

// maxEvents bounds the table of events on the page.
const maxEvents = 400

// eventRow is a row of the table of events.
type eventRow struct {
	Class, Step, Time, What, Text, Widths, Params, Batch, Took string
}

// eventRows lists the events in order. Checkpoints in a row become one row.
// What does not fit is counted.
func eventRows(l *metrics.Log) (rows []eventRow, left int) {
	clock := figure.Clock
	if n := len(l.Events); n > 0 && l.Events[n-1].Seconds < 120 { // whole seconds would say little
		clock = figure.Seconds
	}
	for i := 0; i < len(l.Events); {
		n := 1
		if l.Events[i].Event == metrics.EventCheckpoint {
			n = checkpoints(l.Events[i:])
		}
		if len(rows) == maxEvents {
			return rows, len(l.Events) - i
		}
		if n < 3 {
			rows = append(rows, oneEvent(l.Events[i], clock))
			i++
			continue
		}
		rows = append(rows, manyCheckpoints(l.Events[i:i+n], clock))
		i += n
	}
	return rows, 0
}

// checkpoints counts the checkpoints at the beginning of es.
func checkpoints(es []metrics.Event) int {
	n := slices.IndexFunc(es, func(e metrics.Event) bool { return e.Event != metrics.EventCheckpoint })
	if n < 0 {
		return len(es)
	}
	return n
}

func oneEvent(e metrics.Event, clock func(float64) string) eventRow {
	r := eventRow{Class: eventClass(e.Event), Step: figure.Count(e.Step), Time: clock(float64(e.Seconds)),
		What: eventName(e.Event), Text: e.Text, Widths: figure.Widths(e.Dims)}
	if e.Params > 0 {
		r.Params = figure.Count(e.Params)
	}
	if e.Batch > 0 {
		r.Batch = figure.Count(int64(e.Batch))
	}
	if e.TookMS > 0 {
		r.Took = milliseconds(float64(e.TookMS))
	}
	return r
}

func manyCheckpoints(es []metrics.Event, clock func(float64) string) eventRow {
	first, last := es[0], es[len(es)-1]
	total := 0.0
	for _, e := range es {
		total += float64(e.TookMS)
	}
	r := eventRow{Class: eventClass(first.Event), What: eventName(first.Event),
		Step: figure.Count(first.Step) + " – " + figure.Count(last.Step),
		Time: clock(float64(first.Seconds)) + " – " + clock(float64(last.Seconds)),
		Text: fmt.Sprintf("%s checkpoints", figure.Count(int64(len(es))))}
	if total > 0 {
		r.Took = milliseconds(total/float64(len(es))) + " each"
	}
	return r
}

func milliseconds(ms float64) string {
	if ms >= 10000 {
		return figure.Seconds(ms / 1000)
	}
	return figure.SI(ms) + "ms"
}

// eventName is the word for an event in the table.
func eventName(event string) string {
	switch event {
	case metrics.EventGrow:
		return "grown"
	case metrics.EventResume:
		return "resumed"
	}
	return event
}

// eventClass is the look of an event; methods bring events of their own.
func eventClass(event string) string {
	switch event {
	case metrics.EventGrow, metrics.EventCheckpoint, metrics.EventResume:
		return event
	}
	return metrics.EventNote
}

// eventText describes an event in one line.
func eventText(e metrics.Event) string {
	if e.Text != "" {
		return eventName(e.Event) + ", " + e.Text
	}
	if len(e.Dims) > 0 {
		return eventName(e.Event) + " to " + figure.Widths(e.Dims)
	}
	return eventName(e.Event)
}
