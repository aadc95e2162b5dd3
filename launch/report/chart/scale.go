package chart

import "math"

// scale maps values to positions on the drawing.
type scale struct {
	min, max   float64 // values at the ends
	start, end float64 // positions there
	log        bool
}

// newScale covers the finite values that each yields, widened to ticks.
func newScale(a Axis, each func(yield func(float64)), start, end float64) scale {
	s := scale{min: math.Inf(1), max: math.Inf(-1), start: start, end: end, log: a.Log}
	each(func(v float64) {
		if drawable(v) && (!a.Log || v > 0) {
			s.min, s.max = min(s.min, v), max(s.max, v)
		}
	})
	if s.min > s.max { // no value at all
		s.min, s.max = 0, 1
		if a.Log {
			s.min = 0.1
		}
	}
	if a.Zero && !a.Log {
		s.min, s.max = min(s.min, 0), max(s.max, 0)
	}
	if a.Floor != nil && *a.Floor < s.max && (!a.Log || *a.Floor > 0) {
		s.min = *a.Floor
	}
	s.widen()
	return s
}

// widen gives a range of a single value some room.
func (s *scale) widen() {
	if s.log {
		if s.max/s.min < 1.5 {
			s.min, s.max = s.min/1.3, s.max*1.3
		}
		return
	}
	if s.max-s.min <= 1e-9*max(math.Abs(s.min), math.Abs(s.max)) {
		room := max(math.Abs(s.max)*0.1, 1e-9)
		s.min, s.max = s.min-room, s.max+room
	}
}

// pad adds a share of the range at both ends, so that curves do not touch the
// frame; a range that begins at zero keeps its beginning.
func (s *scale) pad(share float64) {
	if s.log {
		f := math.Pow(s.max/s.min, share)
		s.min, s.max = s.min/f, s.max*f
		return
	}
	room := (s.max - s.min) * share
	if s.min != 0 {
		s.min -= room
	}
	s.max += room
}

// at returns the position of v, and false if v has none.
func (s scale) at(v float64) (float64, bool) {
	if !drawable(v) || s.log && v <= 0 {
		return 0, false
	}
	lo, hi := s.min, s.max
	if s.log {
		v, lo, hi = math.Log(v), math.Log(lo), math.Log(hi)
	}
	p := s.start + (s.end-s.start)*(v-lo)/(hi-lo)
	// Far outside values stay outside, near enough for every renderer.
	reach := 4 * math.Abs(s.end-s.start)
	return min(max(p, min(s.start, s.end)-reach), max(s.start, s.end)+reach), true
}

// Tick is a round value of an axis with its label.
type Tick struct {
	Value float64
	Label string
}

// Ticks returns about n round values from lo to hi with their labels, for
// drawings made elsewhere.
func Ticks(lo, hi float64, u Unit, log bool, n int) []Tick {
	s := scale{min: lo, max: hi, log: log && lo > 0}
	if !(lo < hi) || !drawable(lo) || !drawable(hi) {
		return nil
	}
	values := s.ticks(u, n)
	ts := make([]Tick, len(values))
	for i, v := range values {
		ts[i] = Tick{v, u.tick(v, gap(values))}
	}
	return ts
}

// ticks returns about n round values within the scale.
func (s scale) ticks(u Unit, n int) []float64 {
	if s.log {
		return logTicks(s.min, s.max, n)
	}
	step := u.step((s.max - s.min) / float64(n))
	first := math.Ceil(s.min/step - 1e-9)
	var ts []float64
	for i := 0; i < 4*n; i++ {
		v := (first + float64(i)) * step
		if v > s.max+step*1e-9 {
			break
		}
		ts = append(ts, v)
	}
	return ts
}

// logTicks returns powers of ten, with 2 and 5 times them where there is room.
func logTicks(lo, hi float64, n int) []float64 {
	decades := math.Log10(hi / lo)
	factors := []float64{1, 2, 5}
	if decades*3 > float64(2*n) {
		factors = []float64{1}
	}
	skip := max(1, int(math.Ceil(decades/float64(2*n))))
	var ts []float64
	for e := int(math.Floor(math.Log10(lo))); e <= int(math.Ceil(math.Log10(hi))); e++ {
		if e%skip != 0 {
			continue
		}
		for _, f := range factors {
			if v := f * math.Pow(10, float64(e)); v >= lo*(1-1e-9) && v <= hi*(1+1e-9) {
				ts = append(ts, v)
			}
		}
	}
	if len(ts) < 2 {
		return scale{min: lo, max: hi}.ticks(Plain, n)
	}
	return ts
}

// roundStep returns the smallest of 1, 2, 2.5 and 5 times a power of ten that
// is not below x.
func roundStep(x float64) float64 {
	base := math.Pow(10, math.Floor(math.Log10(x)))
	for _, f := range []float64{1, 2, 2.5, 5} {
		if x <= f*base*(1+1e-9) {
			return f * base
		}
	}
	return 10 * base
}
