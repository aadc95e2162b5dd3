package report

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"html/template"
	"strings"
	"time"
)

var (
	//go:embed page.html
	pageHTML string
	//go:embed page.css
	pageCSS string
	//go:embed page.js
	pageJS string
)

// Page renders report.html. The first run is the one it is about.
func Page(runs ...*Run) ([]byte, error) {
	if len(runs) == 0 {
		return nil, errors.New("report: no run to report on")
	}
	t, err := template.New("page").Parse(pageHTML)
	if err != nil {
		return nil, fmt.Errorf("report: page: %w", err)
	}
	var out bytes.Buffer
	if err := t.Execute(&out, newPage(runs)); err != nil {
		return nil, fmt.Errorf("report: page: %w", err)
	}
	return out.Bytes(), nil
}

// page is what page.html shows.
type page struct {
	Style          template.CSS
	Script         template.JS
	Job, Subtitle  string
	Verdict, State string
	Finished       bool
	Warnings       []string
	Tiles          []tile
	Head           []string
	Rows           [][]string
	Learning, Loop []figureHTML
	Cost, Growth   []figureHTML
	// Marked lists the sorts of events that charts mark.
	Marked       []key
	Events       []eventRow
	EventColumns eventColumns
	EventsLeft   int
	JobText      string
	Facts        []fact
	Recorded     bool
}

// figureHTML is a panel ready for the page.
type figureHTML struct {
	Title, Note string
	Wide        bool
	Legend      []key
	Views       []viewHTML
}

type key struct{ Class, Name string }

type viewHTML struct {
	ID  string
	SVG template.HTML
}

func newPage(runs []*Run) page {
	r := runs[0]
	main := resultOf(r)
	var others []result
	for _, o := range runs[1:] {
		others = append(others, resultOf(o))
	}
	table := resultTable(runs)
	p := page{
		Style: template.CSS(pageCSS), Script: template.JS(pageJS),
		Job: jobName(r), Subtitle: subtitle(r), Verdict: verdict(main, others), Finished: main.finished,
		State: "finished", Warnings: warnings(runs), Tiles: tiles(main, others), Head: table.head, Rows: table.rows,
		Learning: figures([]panel{lossPanel(runs), qualityPanel(runs)}), Loop: figures(loopPanels(runs)),
		Cost: figures(costPanels(runs)), Growth: figures(growthPanels(r)),
		JobText: strings.TrimSpace(r.Job), Facts: facts(r, main), Recorded: len(r.Log.Train)+len(r.Log.Evals) > 0,
	}
	if !main.finished {
		p.State = "unfinished"
	}
	for _, event := range markedEvents {
		if len(eventMarks(r.Log, event)) > 0 {
			p.Marked = append(p.Marked, key{event, eventName(event)})
		}
	}
	p.Events, p.EventsLeft = eventRows(r.Log)
	p.EventColumns = columnsOf(p.Events)
	return p
}

func jobName(r *Run) string {
	if r.Log.Start != nil && r.Log.Start.Job != "" {
		return r.Log.Start.Job
	}
	return r.Name
}

func subtitle(r *Run) string {
	s := r.Log.Start
	if s == nil {
		return "The record has no start."
	}
	parts := []string{s.Model}
	if s.World > 0 {
		parts = append(parts, plural(s.World, "worker", "workers"))
	}
	if s.Shards > 0 {
		parts = append(parts, plural(s.Shards, "logical shard", "logical shards"))
	}
	if s.Time > 0 {
		parts = append(parts, time.Unix(s.Time, 0).UTC().Format("2 January 2006, 15:04 UTC"))
	}
	return strings.Join(parts, " · ")
}

// warnings says what a reader should know before the figures.
func warnings(runs []*Run) []string {
	var ws []string
	for _, r := range runs {
		if n := r.Log.Resumes; n > 0 {
			ws = append(ws, fmt.Sprintf("%s was resumed %s; time between the attempts is not counted.", r.Name, plural(n, "time", "times")))
		}
		if r.Log.Torn {
			ws = append(ws, fmt.Sprintf("The last line of %s was torn by a crash and is left out.", r.Name))
		}
	}
	return ws
}

func figures(ps []panel) []figureHTML {
	var fs []figureHTML
	for _, p := range ps {
		f := figureHTML{Title: p.title, Note: p.note, Wide: p.wide}
		if p.views[0].chart.Empty() {
			if p.note != "" { // all of it went astray: say so
				fs = append(fs, f)
			}
			continue
		}
		for _, l := range p.views[0].chart.Lines {
			f.Legend = append(f.Legend, key{l.Class, l.Name})
		}
		if len(f.Legend) == 1 {
			f.Legend = nil
		}
		for i := range p.views {
			f.Views = append(f.Views, viewHTML{p.views[i].id, template.HTML(p.views[i].chart.SVG())})
		}
		fs = append(fs, f)
	}
	return fs
}

// eventColumns says which of the optional columns have anything to show.
type eventColumns struct{ Text, Widths, Params, Batch, Took bool }

func columnsOf(rows []eventRow) eventColumns {
	var c eventColumns
	for _, r := range rows {
		c.Text = c.Text || r.Text != ""
		c.Widths = c.Widths || r.Widths != ""
		c.Params = c.Params || r.Params != ""
		c.Batch = c.Batch || r.Batch != ""
		c.Took = c.Took || r.Took != ""
	}
	return c
}
