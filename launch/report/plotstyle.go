package report

import (
	"image/color"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"

	"github.com/espalier-ml/espalier/launch/report/chart"
)

// style sets fonts, grid and scales.
func (f figurePlot) style(p *plot.Plot) {
	sans := func(size float64) font.Font {
		return font.Font{Typeface: "Liberation", Variant: "Sans", Size: vg.Points(size)}
	}
	ink, soft, rule := color.Gray{0x22}, color.Gray{0x60}, color.Gray{0xe6}
	p.BackgroundColor = color.White
	p.Title.TextStyle.Font, p.Title.TextStyle.Color, p.Title.Padding = sans(12), ink, vg.Points(8)
	p.Legend.TextStyle.Font, p.Legend.TextStyle.Color = sans(8.5), soft
	p.Legend.Top, p.Legend.ThumbnailWidth, p.Legend.Padding = f.file != "accuracy" && f.file != "growth", vg.Points(16), vg.Points(2)
	p.Legend.Left = f.file == "cost"
	for _, a := range []*plot.Axis{&p.X, &p.Y} {
		a.Label.TextStyle.Font, a.Label.TextStyle.Color = sans(10), soft
		a.Tick.Label.Font, a.Tick.Label.Color = sans(9), soft
		a.LineStyle.Color, a.Tick.LineStyle.Color = soft, soft
	}
	p.X.Padding, p.Y.Padding = 0, 0
	p.X.Tick.Marker, p.Y.Tick.Marker = ticks{unit: f.x, n: 7}, ticks{unit: f.y, log: f.log, n: 6}
	if f.log {
		p.Y.Scale = plot.LogScale{}
	}
	grid := plotter.NewGrid()
	grid.Vertical.Width = 0
	grid.Horizontal.Color, grid.Horizontal.Width = rule, vg.Points(0.6)
	p.Add(grid)
}

// ticks are those of the page.
type ticks struct {
	unit chart.Unit
	log  bool
	n    int
}

// Ticks implements plot.Ticker.
func (t ticks) Ticks(lo, hi float64) []plot.Tick {
	var ts []plot.Tick
	for _, tick := range chart.Ticks(lo, hi, t.unit, t.log, t.n) {
		ts = append(ts, plot.Tick{Value: tick.Value, Label: tick.Label})
	}
	return ts
}
