package reproduce

import (
	"cmp"
	"fmt"
	"html"
	"slices"
	"strings"
)

// Point is an arm as what it costs and what it is worth, means over seeds.
type Point struct {
	Arm           string
	Cost, Quality float64
}

// Front marks the points that no other beats: none costs as much or less and is
// as good or better, and one of the two truly (Pareto). lower says that less
// quality is better, as for a loss.
func Front(points []Point, lower bool) []bool {
	on := make([]bool, len(points))
	for i, p := range points {
		on[i] = !slices.ContainsFunc(points, func(q Point) bool {
			gain := q.Quality - p.Quality
			if lower {
				gain = -gain
			}
			return q.Cost <= p.Cost && gain >= 0 && (q.Cost < p.Cost || gain > 0)
		})
	}
	return on
}

// points are the arms that have a measure, the cheapest first. Bytes of an
// ordinary network are those of its parameters.
func (r *Result) points(measure string) (all []Point) {
	for _, c := range r.Cells {
		var cost []float64
		for _, o := range c.Outcomes {
			v, ok := o.Measures[measure]
			if !ok && measure == "bytes" {
				v, ok = 4*o.Params, true
			}
			if ok {
				cost = append(cost, v)
			}
		}
		if len(cost) > 0 {
			all = append(all, Point{c.Arm, mean(cost), mean(values(c, (*Outcome).Quality))})
		}
	}
	slices.SortStableFunc(all, func(a, b Point) int { return cmp.Compare(a.Cost, b.Cost) })
	return all
}

// lower reports whether quality is a loss.
func (r *Result) lower() bool { return r.Cells[0].Outcomes[0].Accuracy == nil }

// writeFront writes the arms by rising cost.
func (r *Result) writeFront(b *strings.Builder, measure string) {
	points := r.points(measure)
	on := Front(points, r.lower())
	fmt.Fprintf(b, "## Quality against %s\n\n", measure)
	row(b, []string{"", measure, "quality", "on the front"})
	row(b, slices.Repeat([]string{"---"}, 4))
	for i, p := range points {
		row(b, []string{p.Arm, fmt.Sprintf("%.4g", p.Cost), fmt.Sprintf("%.2f", p.Quality), map[bool]string{true: "yes", false: "no"}[on[i]]})
	}
	b.WriteByte('\n')
}

// plotFront draws the arms and a line through the front.
func (r *Result) plotFront(measure string) string {
	const w, h, left, top = 420, 280, 70, 40
	points := r.points(measure)
	on := Front(points, r.lower())
	x1, y0, y1 := 1.0, 0.0, 1.0
	for i, p := range points {
		if x1 = max(x1, p.Cost); i == 0 {
			y0, y1 = p.Quality, p.Quality
		}
		y0, y1 = min(y0, p.Quality), max(y1, p.Quality)
	}
	margin := max(1e-9, 0.1*(y1-y0))
	y0, y1 = y0-margin, y1+margin
	px := func(x float64) float64 { return left + w*x/(1.05*x1) }
	py := func(y float64) float64 { return top + h*(y1-y)/(y1-y0) }
	var b strings.Builder
	fmt.Fprintf(&b, svgHead, left+w+160, top+h+50)
	fmt.Fprintf(&b, `<text x="10" y="20" font-size="14">%s</text><path d="M%d %dV%dH%d" fill="none" stroke="black"/>`+"\n", html.EscapeString(r.Experiment.Title), left, top, top+h, left+w)
	for i := range 5 {
		x, y := 1.05*x1*float64(i)/4, y0+(y1-y0)*float64(i)/4
		fmt.Fprintf(&b, `<text x="%.0f" y="%d" text-anchor="middle">%.3g</text><text x="%d" y="%.0f" text-anchor="end">%.2f</text>`+"\n", px(x), top+h+18, x, left-6, py(y)+4, y)
	}
	fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="middle">%s</text>`+"\n", left+w/2, top+h+38, html.EscapeString(measure))
	var line []string
	for i, p := range points {
		colour := colours[1]
		if on[i] {
			colour = colours[0]
			line = append(line, fmt.Sprintf("%.1f,%.1f", px(p.Cost), py(p.Quality)))
		}
		fmt.Fprintf(&b, `<circle cx="%.1f" cy="%.1f" r="4" fill="%s"/><text x="%.1f" y="%.1f">%s</text>`+"\n", px(p.Cost), py(p.Quality), colour, px(p.Cost)+7, py(p.Quality)+14, html.EscapeString(p.Arm))
	}
	fmt.Fprintf(&b, `<polyline points="%s" fill="none" stroke="%s"/></svg>`+"\n", strings.Join(line, " "), colours[0])
	return b.String()
}
