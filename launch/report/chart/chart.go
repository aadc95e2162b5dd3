// Package chart draws line charts as SVG for a page that styles them: shapes
// carry classes, and colours come from the page's style sheet, so that one
// drawing serves light and dark.
//
// Promises: the output is well-formed XML whatever the values and names are;
// a value that is not finite is a gap in its line; a drawing is a pure
// function of the chart. Drawn are lines with the range around them, step
// lines, marks at points in time and labels at the lines' ends.
//
// Left to the page: colours, fonts, title and legend, and what happens when a
// pointer moves over the chart. For that each line carries its values in the
// attributes data-x and data-y, and the drawing its scales in data-scale.
//
//	c := chart.Chart{X: chart.Axis{Label: "step"}, Y: chart.Axis{Label: "loss", Log: true},
//		Lines: []chart.Line{{Name: "train", Class: "c1", Points: chart.Thin(points, 240)}}}
//	svg := c.SVG()
package chart

import "math"

// Beyond this magnitude a value counts as not finite: no loss, width or cost
// gets there, and the arithmetic of the scales stays exact.
const limit = 1e30

// Chart is one drawing.
type Chart struct {
	// ID makes the drawing's internal names unique within the page; no spaces.
	ID string
	// Title says what is drawn, for readers who cannot see it.
	Title string
	// Width and Height in user units; 0 means 560 by 300.
	Width, Height float64
	X, Y          Axis
	Lines         []Line
	Marks         []Mark
	// Right is the least room to the right, for labels at the lines' ends;
	// charts of equal room stand in line.
	Right float64
}

// Axis is a direction of a chart.
type Axis struct {
	Label string
	Unit  Unit
	// Log makes the axis logarithmic. Values of zero and below are gaps then.
	Log bool
	// Zero makes the axis begin at zero even if no value does.
	Zero bool
	// Floor, if set, is where the axis begins; what lies below is cut off.
	Floor *float64
}

// Line is a curve with its name and look.
type Line struct {
	Name string
	// Class names the look in the page's style sheet.
	Class  string
	Points []Point
	// Steps draws a value up to the next point, as a width that changes.
	Steps bool
	// Dots marks the points.
	Dots bool
	// Band fills the range from Lo to Hi around the line, Fill the area below.
	Band, Fill bool
	// End is written at the line's last point.
	End string
}

// Point is a value with the range of the values it stands for.
type Point struct {
	X, Y, Lo, Hi float64
}

// At is a point that stands for a single value.
func At(x, y float64) Point { return Point{X: x, Y: y, Lo: y, Hi: y} }

// Mark is a moment on the x axis.
type Mark struct {
	X     float64
	Class string
	// Text is shown when a pointer rests on the mark.
	Text string
}

// NotFinite counts the points of the chart's lines that are gaps because they
// have no finite value, and returns the smallest x among them.
func (c *Chart) NotFinite() (n int, first float64) {
	first = math.Inf(1)
	for _, l := range c.Lines {
		for _, p := range l.Points {
			if !drawable(p.Y) {
				n++
				first = min(first, p.X)
			}
		}
	}
	return n, first
}

// Empty reports whether there is nothing to draw.
func (c *Chart) Empty() bool {
	for _, l := range c.Lines {
		for _, p := range l.Points {
			if drawable(p.X) && drawable(p.Y) {
				return false
			}
		}
	}
	return true
}

func drawable(x float64) bool { return x >= -limit && x <= limit }
