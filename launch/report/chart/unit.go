package chart

import (
	"math"
	"strconv"
	"strings"

	"github.com/espalier-ml/espalier/launch/report/figure"
)

// Unit says what the values of an axis are and how ticks show them.
type Unit int

// The units.
const (
	Plain   Unit = iota // a number of four digits
	Whole               // a count, ticks only at whole numbers
	Percent             // a fraction, shown as a percentage
	Seconds             // a span of time
	Flops               // an amount of work
)

// String is the unit's name in data-scale.
func (u Unit) String() string {
	return [...]string{"plain", "whole", "percent", "seconds", "flops"}[u]
}

// step rounds a distance of ticks up to one that reads well in the unit.
func (u Unit) step(x float64) float64 {
	switch {
	case u == Whole:
		return max(1, math.Round(roundStep(x)))
	case u == Seconds && x > 1:
		for _, s := range []float64{2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400} {
			if x <= s {
				return s
			}
		}
	}
	return roundStep(x)
}

// tick writes a value of an axis whose ticks are step apart.
func (u Unit) tick(v, step float64) string {
	switch u {
	case Percent:
		return short(v*100, step*100) + " %"
	case Seconds:
		return clockTick(v, step)
	case Flops:
		return siTick(v, step)
	case Whole:
		if math.Abs(v) >= 1e6 {
			return siTick(v, step)
		}
		return figure.Count(int64(math.Round(v)))
	}
	if math.Abs(v) >= 1e4 {
		return siTick(v, step)
	}
	return short(v, step)
}

// siTick writes v with an SI prefix and the decimals that ticks step apart need.
func siTick(v, step float64) string {
	prefixes, size, i := []string{"", " k", " M", " G", " T", " P", " E"}, 1.0, 0
	for math.Abs(v) >= 999.5*size && i < len(prefixes)-1 {
		size, i = size*1000, i+1
	}
	return short(v/size, step/size) + prefixes[i]
}

func clockTick(v, step float64) string {
	switch {
	case v == 0:
		return "0"
	case step < 60:
		return short(v, step) + " s"
	case step < 3600:
		return short(v/60, step/60) + " min"
	case step < 86400:
		return short(v/3600, step/3600) + " h"
	}
	return short(v/86400, step/86400) + " d"
}

// short writes v with the decimals that its distance to the next tick needs.
func short(v, step float64) string {
	v = roundTo(v, step)
	if a := math.Abs(v); a != 0 && (a < 1e-4 || a >= 1e7) {
		return strings.Replace(strconv.FormatFloat(v, 'g', 3, 64), "e-0", "e-", 1)
	}
	s := strconv.FormatFloat(v, 'f', 6, 64)
	s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
	return strings.Replace(s, "-", "−", 1)
}

// roundTo clears the noise far below the distance of ticks.
func roundTo(v, step float64) float64 {
	if step <= 0 {
		return v
	}
	unit := math.Pow(10, math.Floor(math.Log10(step))-2)
	return math.Round(v/unit) * unit
}
