package figure

import (
	"fmt"
	"math"
	"strconv"
)

// Seconds writes a span of time with its unit: "0.84 s", "12.3 s",
// "4 min 05 s", "1 h 02 min", "2 d 03 h".
func Seconds(s float64) string {
	if t, odd := notFinite(s); odd {
		return t
	}
	if s < 0 {
		return "−" + Seconds(-s)
	}
	switch whole := math.Round(s); {
	case s < 9.995:
		return strconv.FormatFloat(s, 'f', 2, 64) + " s"
	case s < 119.95:
		return strconv.FormatFloat(s, 'f', 1, 64) + " s"
	case whole < 3600:
		return fmt.Sprintf("%.0f min %02.0f s", math.Floor(whole/60), math.Mod(whole, 60))
	case whole < 48*3600:
		minutes := math.Round(s / 60)
		return fmt.Sprintf("%.0f h %02.0f min", math.Floor(minutes/60), math.Mod(minutes, 60))
	default:
		hours := math.Round(s / 3600)
		return fmt.Sprintf("%.0f d %02.0f h", math.Floor(hours/24), math.Mod(hours, 24))
	}
}

// Clock writes a span of time in whole seconds as a clock does: "0:41",
// "1:02:03", and "3 d 04:05" from four days on.
func Clock(s float64) string {
	if !finite(s) || s < 0 {
		return Missing
	}
	s = math.Round(s)
	if s >= 96*3600 {
		return fmt.Sprintf("%.0f d %02.0f:%02.0f", math.Floor(s/86400), math.Floor(math.Mod(s, 86400)/3600), math.Floor(math.Mod(s, 3600)/60))
	}
	h, m, sec := math.Floor(s/3600), math.Floor(math.Mod(s, 3600)/60), math.Mod(s, 60)
	if h > 0 {
		return fmt.Sprintf("%.0f:%02.0f:%02.0f", h, m, sec)
	}
	return fmt.Sprintf("%.0f:%02.0f", m, sec)
}
