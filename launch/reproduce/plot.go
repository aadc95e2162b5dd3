package reproduce

import (
	"fmt"
	"html"
	"slices"
	"strings"
)

// Plots draws the result as SVG files by name: a heat map an arm for a sweep,
// else quality over cost, a point a run.
func (r *Result) Plots() map[string]string {
	plots := map[string]string{}
	if len(r.Experiment.Sweep) == 2 {
		for _, a := range r.Experiment.Arms {
			plots[a.Name+".svg"] = r.heatMap(a.Name)
		}
		return plots
	}
	plots["cost.svg"] = r.scatter()
	for _, m := range r.Experiment.Front {
		plots["front-"+folder(m)+".svg"] = r.plotFront(m)
	}
	return plots
}

const svgHead = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12"><rect width="100%%" height="100%%" fill="white"/>` + "\n"

// heatMap colours the qualities of an arm from its sweep's worst to the best
// of all arms, so that maps of several arms may be compared.
func (r *Result) heatMap(arm string) string {
	const w, h, left, top = 64, 32, 110, 60
	rows, cols := r.Experiment.Sweep[0], r.Experiment.Sweep[1]
	var all []float64
	for _, a := range r.Experiment.Arms {
		all = append(all, slices.Concat(r.matrix(a.Name)...)...)
	}
	lo, hi := slices.Min(all), slices.Max(all)
	var b strings.Builder
	fmt.Fprintf(&b, svgHead, left+w*len(cols.Values)+10, top+h*len(rows.Values)+10)
	fmt.Fprintf(&b, `<text x="10" y="20" font-size="14">%s</text>`+"\n", html.EscapeString(arm+": "+rows.Key+" down, "+cols.Key+" across"))
	for j, v := range cols.Values {
		fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="middle">%s</text>`+"\n", left+w*j+w/2, top-8, html.EscapeString(v))
	}
	for i, line := range r.matrix(arm) {
		fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end">%s</text>`+"\n", left-8, top+h*i+h/2+4, html.EscapeString(rows.Values[i]))
		for j, x := range line {
			share := 0.5
			if hi > lo {
				share = (x - lo) / (hi - lo)
			}
			ink := "black"
			if share > 0.6 {
				ink = "white"
			}
			fmt.Fprintf(&b, `<rect x="%d" y="%d" width="%d" height="%d" fill="%s"/><text x="%d" y="%d" text-anchor="middle" fill="%s">%.2f</text>`+"\n",
				left+w*j, top+h*i, w-1, h-1, shade(share), left+w*j+w/2, top+h*i+h/2+4, ink, x)
		}
	}
	b.WriteString("</svg>\n")
	return b.String()
}

// shade goes from a pale to a dark green.
func shade(share float64) string {
	at := func(from, to float64) int { return int(from + share*(to-from) + 0.5) }
	return fmt.Sprintf("#%02x%02x%02x", at(0xf2, 0x1f), at(0xf5, 0x6b), at(0xee, 0x45))
}

var colours = []string{"#1f6b45", "#c0722c", "#3f6ea8", "#8b4f86", "#777777", "#b03a48"}

// scatter shows quality over training FLOPs, a colour an arm.
func (r *Result) scatter() string {
	const w, h, left, top = 420, 280, 70, 40
	var xs, ys []float64
	for _, c := range r.Cells {
		xs = append(xs, values(c, func(o *Outcome) float64 { return o.Flops })...)
		ys = append(ys, values(c, (*Outcome).Quality)...)
	}
	x1, y0, y1 := slices.Max(xs), slices.Min(ys), slices.Max(ys)
	margin := max(1e-9, 0.1*(y1-y0))
	y0, y1 = y0-margin, y1+margin
	if x1 <= 0 {
		x1 = 1
	}
	px := func(x float64) float64 { return left + w*x/(1.05*x1) }
	py := func(y float64) float64 { return top + h*(y1-y)/(y1-y0) }
	var b strings.Builder
	fmt.Fprintf(&b, svgHead, left+w+160, top+h+50)
	fmt.Fprintf(&b, `<text x="10" y="20" font-size="14">%s</text><path d="M%d %dV%dH%d" fill="none" stroke="black"/>`+"\n", html.EscapeString(r.Experiment.Title), left, top, top+h, left+w)
	for i := range 5 {
		x, y := 1.05*x1*float64(i)/4, y0+(y1-y0)*float64(i)/4
		fmt.Fprintf(&b, `<text x="%.0f" y="%d" text-anchor="middle">%.3g</text><text x="%d" y="%.0f" text-anchor="end">%.2f</text>`+"\n", px(x), top+h+18, x/1e12, left-6, py(y)+4, y)
	}
	fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="middle">training, TFLOP</text>`+"\n", left+w/2, top+h+38)
	for k, c := range r.Cells {
		colour := colours[k%len(colours)]
		for i := range c.Outcomes {
			fmt.Fprintf(&b, `<circle cx="%.1f" cy="%.1f" r="4" fill="%s"/>`, px(c.Outcomes[i].Flops), py(c.Outcomes[i].Quality()), colour)
		}
		fmt.Fprintf(&b, `<circle cx="%d" cy="%d" r="4" fill="%s"/><text x="%d" y="%d">%s</text>`+"\n", left+w+16, top+20*k, colour, left+w+26, top+20*k+4, html.EscapeString(c.Arm))
	}
	b.WriteString("</svg>\n")
	return b.String()
}
