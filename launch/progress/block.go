package progress

import (
	"fmt"
	"strings"

	"github.com/espalier-ml/espalier/launch/report/figure"
	"github.com/espalier-ml/espalier/trainer/metrics"
)

// Block renders what is known of a run as the lines of a block, each at most
// columns wide. Figures that do not fit are left out, the least important
// first.
func Block(s *State, columns int) []Line {
	columns = max(columns, 1)
	lines := []Line{s.headLine(columns), s.barLine(columns)}
	if s.train != nil {
		lines = append(lines, s.trainLine(columns))
	}
	if s.eval != nil {
		lines = append(lines, s.evalLine(columns))
	}
	if l := s.networkLine(columns); len(l) > 0 {
		lines = append(lines, l)
	}
	for _, e := range s.events {
		lines = append(lines, eventLine(e).cut(columns))
	}
	return lines
}

// fields joins figures to a line as long as they fit; the first always stays.
func fields(columns int, fs ...Line) Line {
	var l Line
	for _, f := range fs {
		if len(f) == 0 {
			continue
		}
		if len(l) > 0 {
			if l.columns()+3+f.columns() > columns {
				continue
			}
			l = append(l, span{"   ", plain})
		}
		l = append(l, f...)
	}
	return l.cut(columns)
}

// entry is a figure with its name before it.
func entry(name, value string) Line {
	return Line{{name + " ", faint}, {value, plain}}
}

// of writes "3/5", or "3" where the total is not known.
func of(n, total string) Line {
	if total == "" || total == "0" {
		return Line{{n, plain}}
	}
	return Line{{n, plain}, {"/" + total, faint}}
}

func (s *State) headLine(columns int) Line {
	title := Line{{"waiting for the run to start", faint}}
	if s.start != nil {
		title = Line{{clean(s.start.Job), strong}}
		if s.start.Run != "" {
			title = append(title, span{" · " + clean(s.start.Run), faint})
		}
	}
	steps, epochs, stages := "", "", ""
	if s.start != nil {
		steps, epochs = figure.Count(s.start.Steps), whole(s.start.Epochs)
		if s.start.Stages > 1 {
			stages = fmt.Sprint(s.start.Stages)
		}
	}
	step := append(Line{{"step ", faint}}, of(figure.Count(s.step()), steps)...)
	var epoch, stage Line
	if s.train != nil {
		epoch = append(Line{{"epoch ", faint}}, of(fmt.Sprintf("%.1f", float64(s.train.Epoch)), epochs)...)
	}
	if stages != "" || len(s.grown) > 0 {
		stage = append(Line{{"stage ", faint}}, of(fmt.Sprint(len(s.grown)+1), stages)...)
	}
	if s.start == nil && s.train == nil && s.eval == nil {
		return title.cut(columns)
	}
	return fields(columns, title, step, epoch, stage)
}

// whole writes a number of epochs, mostly a whole one.
func whole(x metrics.Number) string {
	if x <= 0 || !x.Finite() {
		return ""
	}
	return strings.TrimSuffix(fmt.Sprintf("%.1f", float64(x)), ".0")
}

// barLine shows the share done, with the time gone and left.
func (s *State) barLine(columns int) Line {
	share, known := s.share()
	var tail string
	if known {
		tail = fmt.Sprintf(" %3.0f %%", 100*share)
	}
	if s.end != nil {
		tail += "   done in " + figure.Clock(float64(s.end.Seconds))
	} else if s.train != nil {
		tail += "   " + figure.Clock(float64(s.train.Seconds)) + " gone"
		if left, ok := s.left(); ok {
			tail += ", " + figure.Clock(left) + " left"
		}
	}
	room := min(columns-len([]rune(tail))-1, 60)
	if room < 8 {
		return Line{{strings.TrimSpace(tail), plain}}.cut(columns)
	}
	done := int(share * float64(room))
	return Line{{strings.Repeat("━", done), green}, {strings.Repeat("─", room-done), faint}, {tail, plain}}.cut(columns)
}

func (s *State) trainLine(columns int) Line {
	t := s.train
	return fields(columns, lossOf("train", t.Loss), accuracy(t.Accuracy), entry("lr", figure.Setting(float64(t.LR))),
		perSecond(t.SamplesPerSec), entry("|g|", figure.Value(float64(t.GradNorm))))
}

func (s *State) evalLine(columns int) Line {
	e := s.eval
	name := clean(e.Split)
	if name == "" {
		name = "eval"
	}
	var best Line
	if s.best != nil && s.best.Step != e.Step {
		best = entry("best", figure.Value(float64(s.best.Loss)))
		if s.best.Accuracy != nil {
			best = entry("best", figure.Percent(float64(*s.best.Accuracy)))
		}
	}
	return fields(columns, lossOf(name, e.Loss), accuracy(e.Accuracy), entry("at step", figure.Count(e.Step)), best)
}

func accuracy(a *metrics.Number) Line {
	if a == nil {
		return nil
	}
	return entry("accuracy", figure.Percent(float64(*a)))
}

// perSecond shows a throughput; a single decimal matters only when it is slow.
func perSecond(rate metrics.Number) Line {
	switch {
	case rate <= 0 || !rate.Finite():
		return nil
	case rate < 10:
		return Line{{fmt.Sprintf("%.1f", float64(rate)), plain}, {" samples/s", faint}}
	case rate > 1e12:
		return nil
	}
	return Line{{figure.Count(int64(rate + 0.5)), plain}, {" samples/s", faint}}
}

// lossOf shows the loss on a part of the data and points out one that went
// astray.
func lossOf(part string, loss metrics.Number) Line {
	look := strong
	if !loss.Finite() {
		look = yellow
	}
	return Line{{fmt.Sprintf("%-5s loss ", part), faint}, {figure.Value(float64(loss)), look}}
}

// networkLine shows what the network is now and who trains it.
func (s *State) networkLine(columns int) Line {
	var params, batch, world, widths Line
	if s.params > 0 {
		params = Line{{figure.Count(s.params), plain}, {" parameters", faint}}
	}
	if s.batch > 0 {
		batch = entry("batch", figure.Count(int64(s.batch)))
	}
	if s.start != nil && s.start.World > 0 {
		world = Line{{fmt.Sprint(s.start.World), plain}, {many(s.start.World, " worker", " workers"), faint}}
	}
	if len(s.dims) > 0 {
		widths = entry("widths", clean(figure.Widths(s.dims)))
	}
	return fields(columns, params, world, widths, batch)
}

func many(n int, one, more string) string {
	if n == 1 {
		return one
	}
	return more
}

func eventLine(e metrics.Event) Line {
	look := faint
	switch e.Event {
	case metrics.EventGrow:
		look = green
	case metrics.EventResume:
		look = yellow
	}
	return Line{{"· step " + figure.Count(e.Step) + " ", faint}, {clean(e.Event), look}, {eventDetail(e), faint}}
}

// eventDetail says what an event changed.
func eventDetail(e metrics.Event) string {
	var b strings.Builder
	if e.Text != "" {
		b.WriteString(": " + clean(e.Text))
	}
	if e.TookMS > 0 {
		b.WriteString(" (" + figure.SI(float64(e.TookMS)) + "ms)")
	}
	return b.String()
}
