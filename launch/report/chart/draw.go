package chart

import (
	"fmt"
	"html"
	"math"
	"slices"
	"strconv"
	"strings"
)

// drawing is a chart on its way to SVG.
type drawing struct {
	*Chart
	x, y                     scale
	left, right, top, bottom float64
	out                      strings.Builder
}

// SVG draws the chart.
func (c *Chart) SVG() string {
	d := &drawing{Chart: c}
	width, height := c.Width, c.Height
	if width == 0 {
		width = 560
	}
	if height == 0 {
		height = 300
	}
	d.left, d.right, d.top, d.bottom = 58, width-max(16, c.Right, endRoom(c.Lines)), 12, height-40
	d.x = newScale(c.X, c.eachX, d.left, d.right)
	d.y = newScale(c.Y, c.eachY, d.bottom, d.top)
	d.y.pad(0.06)

	fmt.Fprintf(&d.out, `<svg class="chart" viewBox="0 0 %s %s" role="img" aria-label="%s" data-scale="%s">`,
		pos(width), pos(height), html.EscapeString(c.Title), d.scales())
	fmt.Fprintf(&d.out, `<clipPath id="%s-clip"><rect x="%s" y="%s" width="%s" height="%s"/></clipPath>`,
		html.EscapeString(c.ID), pos(d.left), pos(d.top-4), pos(d.right-d.left+1), pos(d.bottom-d.top+4))
	d.axes()
	d.marks()
	fmt.Fprintf(&d.out, `<g clip-path="url(#%s-clip)">`, html.EscapeString(c.ID))
	for _, l := range c.Lines {
		d.line(l)
	}
	d.out.WriteString(`</g>`)
	d.ends()
	d.out.WriteString(`</svg>`)
	return d.out.String()
}

func (c *Chart) eachX(yield func(float64)) {
	for _, l := range c.Lines {
		for _, p := range l.Points {
			yield(p.X)
		}
	}
}

func (c *Chart) eachY(yield func(float64)) {
	for _, l := range c.Lines {
		for _, p := range l.Points {
			yield(p.Y)
			if l.Band {
				yield(p.Lo)
				yield(p.Hi)
			}
		}
	}
}

// scales describes both scales for the page's script.
func (d *drawing) scales() string {
	part := func(s scale, u Unit) string {
		return fmt.Sprintf("%s %s %s %s %t %s", num(s.min), num(s.max), pos(s.start), pos(s.end), s.log, u)
	}
	return part(d.x, d.X.Unit) + ";" + part(d.y, d.Y.Unit)
}

func (d *drawing) axes() {
	ys := d.y.ticks(d.Y.Unit, 5)
	for _, v := range ys {
		y, _ := d.y.at(v)
		fmt.Fprintf(&d.out, `<path class="grid" d="M%s %sH%s"/>`, pos(d.left), pos(y), pos(d.right))
		d.text("tick end", d.left-8, y+4, d.Y.Unit.tick(v, gap(ys)))
	}
	xs := d.x.ticks(d.X.Unit, int(max(3, (d.right-d.left)/85)))
	for _, v := range xs {
		x, _ := d.x.at(v)
		fmt.Fprintf(&d.out, `<path class="axis" d="M%s %sv4"/>`, pos(x), pos(d.bottom))
		d.text("tick middle", x, d.bottom+17, d.X.Unit.tick(v, gap(xs)))
	}
	fmt.Fprintf(&d.out, `<path class="axis" d="M%s %sH%s"/>`, pos(d.left), pos(d.bottom), pos(d.right))
	d.text("label middle", (d.left+d.right)/2, d.bottom+34, d.X.Label)
}

// gap is the smallest distance of neighbouring ticks.
func gap(ts []float64) float64 {
	g := math.Inf(1)
	for i := 1; i < len(ts); i++ {
		g = min(g, ts[i]-ts[i-1])
	}
	if len(ts) < 2 {
		return 0
	}
	return g
}

// marks draws one mark per position and class; more could not be told apart.
func (d *drawing) marks() {
	type place struct {
		x     int
		class string
	}
	seen := map[place]bool{}
	for _, m := range d.Marks {
		x, ok := d.x.at(m.X)
		if !ok || x < d.left-0.5 || x > d.right+0.5 || seen[place{int(x), m.Class}] {
			continue
		}
		seen[place{int(x), m.Class}] = true
		class := html.EscapeString(m.Class)
		fmt.Fprintf(&d.out, `<g class="mark %s"><path d="M%s %sV%s"/><path class="head" d="M%s %sl-4 -7h8z"/>`,
			class, pos(x), pos(d.top), pos(d.bottom), pos(x), pos(d.top+3))
		fmt.Fprintf(&d.out, `<title>%s</title></g>`, html.EscapeString(m.Text))
	}
}

func (d *drawing) line(l Line) {
	fmt.Fprintf(&d.out, `<g class="line %s" data-name="%s"`, html.EscapeString(l.Class), html.EscapeString(l.Name))
	d.values(l)
	for _, run := range d.runs(l) {
		if l.Band {
			fmt.Fprintf(&d.out, `<path class="band" d="%s"/>`, d.band(run))
		}
		trace := d.trace(run, l.Steps)
		if l.Fill {
			first, _ := d.x.at(run[0].X)
			fmt.Fprintf(&d.out, `<path class="fill" d="%sV%sH%sZ"/>`, trace, pos(d.bottom), pos(first))
		}
		fmt.Fprintf(&d.out, `<path class="stroke" d="%s"/>`, trace)
		if l.Dots || len(run) == 1 {
			d.dots(run)
		}
	}
	d.out.WriteString(`</g>`)
}

// values writes what the line shows as attributes and closes the tag.
func (d *drawing) values(l Line) {
	var xs, ys []string
	for _, p := range l.Points {
		if _, ok := d.x.at(p.X); !ok {
			continue
		}
		if _, ok := d.y.at(p.Y); ok {
			xs, ys = append(xs, num(p.X)), append(ys, num(p.Y))
		}
	}
	step := ""
	if l.Steps {
		step = ` data-steps="1"`
	}
	fmt.Fprintf(&d.out, ` data-x="%s" data-y="%s"%s>`, strings.Join(xs, " "), strings.Join(ys, " "), step)
}

// runs cuts a line at its gaps.
func (d *drawing) runs(l Line) [][]Point {
	var runs [][]Point
	open := false
	for _, p := range l.Points {
		_, okX := d.x.at(p.X)
		_, okY := d.y.at(p.Y)
		if !okX || !okY {
			open = false
			continue
		}
		if !open {
			runs = append(runs, nil)
			open = true
		}
		runs[len(runs)-1] = append(runs[len(runs)-1], p)
	}
	return runs
}

func (d *drawing) trace(run []Point, steps bool) string {
	var b strings.Builder
	for i, p := range run {
		x, _ := d.x.at(p.X)
		y, _ := d.y.at(p.Y)
		switch {
		case i == 0:
			b.WriteString("M" + pos(x) + " " + pos(y))
		case steps:
			b.WriteString("H" + pos(x) + "V" + pos(y))
		default:
			b.WriteString("L" + pos(x) + " " + pos(y))
		}
	}
	return b.String()
}

// band goes along the greatest values and back along the least.
func (d *drawing) band(run []Point) string {
	var b strings.Builder
	edge := func(p Point, v float64) {
		x, _ := d.x.at(p.X)
		y, ok := d.y.at(v)
		if !ok {
			y, _ = d.y.at(p.Y)
		}
		letter := "L"
		if b.Len() == 0 {
			letter = "M"
		}
		b.WriteString(letter + pos(x) + " " + pos(y))
	}
	for _, p := range run {
		edge(p, p.Hi)
	}
	for _, p := range slices.Backward(run) {
		edge(p, p.Lo)
	}
	return b.String() + "Z"
}

func (d *drawing) dots(run []Point) {
	for _, p := range run {
		x, _ := d.x.at(p.X)
		y, _ := d.y.at(p.Y)
		fmt.Fprintf(&d.out, `<circle cx="%s" cy="%s" r="2.4"/>`, pos(x), pos(y))
	}
}

func (d *drawing) text(class string, x, y float64, s string) {
	fmt.Fprintf(&d.out, `<text class="%s" x="%s" y="%s">%s</text>`, class, pos(x), pos(y), html.EscapeString(s))
}

// pos writes a position to a hundredth of a unit.
func pos(x float64) string {
	return strconv.FormatFloat(math.Round(x*100)/100, 'f', -1, 64)
}

// num writes a value to six digits.
func num(x float64) string { return strconv.FormatFloat(x, 'g', 6, 64) }
