package report

import (
	"bytes"
	"errors"
	"fmt"
	"image/color"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"

	"github.com/espalier-ml/espalier/launch/report/chart"
)

const (
	plotWidth  = 16 * vg.Centimeter
	plotHeight = 10 * vg.Centimeter
	plotMargin = 0.25 * vg.Centimeter
	plotDPI    = 150
)

// runColours are the colours of runs in plots, those of the page in light.
var runColours = []color.NRGBA{{0x1f, 0x6b, 0x45, 0xff}, {0xc0, 0x72, 0x2c, 0xff}, {0x3f, 0x6e, 0xa8, 0xff}, {0x8b, 0x4f, 0x86, 0xff}}

// curve is a line of a plot.
type curve struct {
	name   string
	points []chart.Point
	colour color.NRGBA
	width  vg.Length
	steps  bool
	dashed bool
}

// figurePlot is a plot before it is drawn.
type figurePlot struct {
	file, title    string
	xLabel, yLabel string
	x, y           chart.Unit
	log            bool
	curves         []curve
}

// writePlots writes each plot as SVG and PNG. A plot that has nothing to show
// is not written, and removed if an earlier report left it.
func writePlots(dir string, runs []*Run) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	for _, f := range plotsOf(runs) {
		base := filepath.Join(dir, f.file)
		if len(f.curves) == 0 {
			if err := remove(base+".svg", base+".png"); err != nil {
				return err
			}
			continue
		}
		if err := f.write(base); err != nil {
			return err
		}
	}
	return nil
}

// write draws the plot into base.svg and base.png.
func (f figurePlot) write(base string) error {
	p, err := f.plot()
	if err != nil {
		return fmt.Errorf("report: plot %s: %w", f.file, err)
	}
	svg, errSVG := drawSVG(p)
	png, errPNG := drawPNG(p)
	if err := errors.Join(errSVG, errPNG); err != nil {
		return fmt.Errorf("report: plot %s: %w", f.file, err)
	}
	return errors.Join(writeFile(base+".svg", svg), writeFile(base+".png", png))
}

func remove(paths ...string) error {
	for _, p := range paths {
		if err := os.Remove(p); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("report: %w", err)
		}
	}
	return nil
}

// plotsOf lists the four plots of a report.
func plotsOf(runs []*Run) []figurePlot {
	title := func(what string) string { return jobName(runs[0]) + ": " + what }
	loss := learningLines(runs, againstStep, trainLoss, evalLoss, plotPoints)
	accuracy := learningLines(runs, againstStep, trainAccuracy, evalAccuracy, plotPoints)
	cost := trainLines(runs, againstEpoch, trainFlops, plotPoints)
	if line, ok := computedCost(runs); ok {
		cost = append(cost, line)
	}
	return []figurePlot{
		{file: "loss", title: title("loss"), xLabel: "step", yLabel: "loss", x: chart.Whole, log: wideRange(loss), curves: curvesOf(loss)},
		{file: "accuracy", title: title("accuracy"), xLabel: "step", yLabel: "accuracy", x: chart.Whole, y: chart.Percent, curves: curvesOf(accuracy)},
		{file: "cost", title: title("training FLOPs spent"), xLabel: "epoch", yLabel: "FLOPs", y: chart.Flops, curves: curvesOf(cost)},
		{file: "growth", title: title("width of each Dim"), xLabel: "step", yLabel: "width", x: chart.Whole, y: chart.Whole, curves: growthCurves(runs[0])},
	}
}

// curvesOf gives lines the colour of their run, training paler than the rest.
func curvesOf(lines []chart.Line) []curve {
	var cs []curve
	for _, l := range lines {
		var index int
		var look string
		fmt.Sscanf(l.Class, "c%d %s", &index, &look)
		c := curve{name: l.Name, points: l.Points, colour: runColours[max(index-1, 0)], width: vg.Points(1.6), dashed: look == "computed"}
		if look == "train" {
			c.colour.A, c.width = 0x80, vg.Points(0.8)
		}
		if drawnAtAll(c.points) {
			cs = append(cs, c)
		}
	}
	return cs
}

func growthCurves(r *Run) []curve {
	lines := growLines(r.Log)
	var cs []curve
	for i, g := range lines {
		share := float64(i+1) / float64(len(lines))
		cs = append(cs, curve{name: g.name(), points: g.points, colour: between(color.NRGBA{0x9f, 0xc5, 0xa0, 0xff}, runColours[2], share), width: vg.Points(1.6), steps: true})
	}
	return cs
}

func between(a, b color.NRGBA, share float64) color.NRGBA {
	mix := func(a, b uint8) uint8 { return uint8(math.Round(float64(a) + (float64(b)-float64(a))*share)) }
	return color.NRGBA{mix(a.R, b.R), mix(a.G, b.G), mix(a.B, b.B), 0xff}
}

func drawnAtAll(ps []chart.Point) bool {
	return len(segments(ps, false)) > 0
}

// plot lays the curves out.
func (f figurePlot) plot() (*plot.Plot, error) {
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = f.title, f.xLabel, f.yLabel
	f.style(p)
	for i, c := range f.curves {
		if err := f.add(p, c, i < 12); err != nil {
			return nil, err
		}
	}
	f.roundRange(p)
	return p, nil
}

// drawSVG and drawPNG draw a plot of the size of all plots.
func drawSVG(p *plot.Plot) ([]byte, error) {
	canvas := vgsvg.New(plotWidth, plotHeight)
	p.Draw(inside(draw.New(canvas)))
	return written(canvas)
}

func drawPNG(p *plot.Plot) ([]byte, error) {
	canvas := vgimg.NewWith(vgimg.UseWH(plotWidth, plotHeight), vgimg.UseDPI(plotDPI))
	p.Draw(inside(draw.New(canvas)))
	return written(vgimg.PngCanvas{Canvas: canvas})
}

func written(w io.WriterTo) ([]byte, error) {
	var out bytes.Buffer
	_, err := w.WriteTo(&out)
	return out.Bytes(), err
}

// inside leaves a margin around the plot.
func inside(c draw.Canvas) draw.Canvas {
	return draw.Crop(c, plotMargin, -2*plotMargin, plotMargin, -plotMargin)
}

// add draws a curve with gaps where it is not finite.
func (f figurePlot) add(p *plot.Plot, c curve, named bool) error {
	for i, part := range segments(c.points, f.log) {
		xys := make(plotter.XYs, len(part))
		for j, q := range part {
			xys[j] = plotter.XY{X: q.X, Y: q.Y}
		}
		line, err := plotter.NewLine(xys)
		if err != nil {
			return err
		}
		line.Color, line.Width = c.colour, c.width
		if c.steps {
			line.StepStyle = plotter.PostStep
		}
		if c.dashed {
			line.Dashes = []vg.Length{vg.Points(4), vg.Points(3)}
		}
		p.Add(line)
		if i == 0 && named && len(f.curves) > 1 {
			p.Legend.Add(c.name, line)
		}
	}
	return nil
}

// segments cuts points at those that cannot be drawn.
func segments(ps []chart.Point, log bool) [][]chart.Point {
	var parts [][]chart.Point
	open := false
	for _, p := range ps {
		if !(math.Abs(p.X) <= 1e30 && math.Abs(p.Y) <= 1e30) || log && p.Y <= 0 {
			open = false
			continue
		}
		if !open {
			parts = append(parts, nil)
			open = true
		}
		parts[len(parts)-1] = append(parts[len(parts)-1], p)
	}
	return parts
}

// roundRange keeps the range of values from being a single one.
func (f figurePlot) roundRange(p *plot.Plot) {
	p.X.Min = min(p.X.Min, 0)
	if f.file == "cost" || f.file == "growth" {
		p.Y.Min = 0
	}
	if p.X.Max <= p.X.Min {
		p.X.Max = p.X.Min + 1
	}
	if p.Y.Max <= p.Y.Min {
		p.Y.Min, p.Y.Max = p.Y.Min*0.9-1e-9, p.Y.Max*1.1+1e-9
	}
}
