package chart

import "math"

// Thin returns at most n points that stand for ps: runs of neighbours are
// replaced by their mean with their least and greatest value. First and last
// point stay as they are. Values that are not finite are left out of a mean;
// a run without any finite value stays a gap. n must be 3 or more.
//
// The bounds of the runs depend on the number of points alone.
func Thin(ps []Point, n int) []Point {
	if len(ps) <= n {
		return ps
	}
	inner, runs := ps[1:len(ps)-1], n-2
	out := make([]Point, 0, n)
	out = append(out, ps[0])
	for i := range runs {
		lo, hi := i*len(inner)/runs, (i+1)*len(inner)/runs
		out = append(out, mean(inner[lo:hi]))
	}
	return append(out, ps[len(ps)-1])
}

// mean returns the point that stands for all of ps, which is not empty.
func mean(ps []Point) Point {
	m := Point{Lo: math.Inf(1), Hi: math.Inf(-1)}
	finite := 0
	for _, p := range ps {
		m.X += p.X / float64(len(ps))
		if !drawable(p.Y) {
			continue
		}
		finite++
		m.Y += p.Y
		m.Lo, m.Hi = min(m.Lo, p.Lo), max(m.Hi, p.Hi)
	}
	if finite == 0 {
		m.Y, m.Lo, m.Hi = math.NaN(), math.NaN(), math.NaN()
		return m
	}
	m.Y /= float64(finite)
	return m
}
