package figure

import (
	"math"
	"testing"
)

func TestFigures(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	tests := []struct{ name, got, want string }{
		{"count of one digit", Count(7), "7"},
		{"count of three digits", Count(999), "999"},
		{"count of four digits", Count(1000), "1,000"},
		{"count of seven digits", Count(9228362), "9,228,362"},
		{"negative count", Count(-12345), "−12,345"},
		{"largest negative count", Count(math.MinInt64), "−9,223,372,036,854,775,808"},

		{"tera", SI(1.234e12), "1.23 T"},
		{"rounds up into the next prefix", SI(999.9e9), "1.00 T"},
		{"mega", SI(45.64e6), "45.6 M"},
		{"no prefix", SI(789), "789 "},
		{"small", SI(0.0123), "0.0123 "},
		{"beyond exa", SI(1.5e22), "15000 E"},
		{"work", Flops(2.5e15), "2.50 PFLOP"},
		{"nothing", Flops(0), "0 FLOP"},

		{"percent", Percent(0.98443), "98.44 %"},
		{"all", Percent(1), "100.00 %"},
		{"percent of nothing", Percent(nan), "NaN"},
		{"share", Share(0.412), "41 %"},
		{"small share", Share(0.0412), "4.1 %"},
		{"points down", Points(-0.0017), "−0.17 pt"},
		{"points up", Points(0.0017), "+0.17 pt"},
		{"no points", Points(-1e-9), "±0.00 pt"},

		{"loss", Value(0.12345), "0.1235"},
		{"loss above one", Value(2.30259), "2.303"},
		{"rate", Value(12345.6), "12346"},
		{"round up to a new digit", Value(9.9999), "10.00"},
		{"tiny", Value(1.5e-7), "1.50e-07"},
		{"negative", Value(-0.5), "−0.5000"},
		{"not a number", Value(nan), "NaN"},
		{"infinite", Value(-inf), "−∞"},
		{"setting", Setting(0.05), "0.05"},
		{"small setting", Setting(3e-4), "0.0003"},
		{"odd setting", Setting(0.0123456), "0.01235"},
		{"difference", Difference(0.0123), "+0.012"},
		{"no difference", Difference(0), "±0.000"},

		{"ratio", Ratio(41, 100), "0.41×"},
		{"small ratio", Ratio(1, 80), "0.013×"},
		{"large ratio", Ratio(1234, 1), "1234×"},
		{"ratio to nothing", Ratio(1, 0), Missing},
		{"ratio of no number", Ratio(nan, 1), Missing},

		{"milliseconds", Seconds(0.0312), "0.03 s"},
		{"seconds", Seconds(12.34), "12.3 s"},
		{"two minutes", Seconds(119.99), "2 min 00 s"},
		{"minutes", Seconds(245), "4 min 05 s"},
		{"just below an hour", Seconds(3599.7), "1 h 00 min"},
		{"hours", Seconds(3725), "1 h 02 min"},
		{"days", Seconds(51 * 3600), "2 d 03 h"},
		{"endless", Seconds(inf), "∞"},

		{"clock", Clock(41), "0:41"},
		{"clock rounds", Clock(59.6), "1:00"},
		{"clock with hours", Clock(3723), "1:02:03"},
		{"clock of many days", Clock(100 * 3600), "4 d 04:00"},
		{"clock of no time", Clock(nan), Missing},
	}
	for _, tt := range tests {
		if tt.got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, tt.got, tt.want)
		}
	}
}

func TestWidths(t *testing.T) {
	tests := []struct {
		in   map[string]int
		want string
	}{
		{nil, ""},
		{map[string]int{"s2": 16, "s1": 8}, "s1 8, s2 16"},
		{map[string]int{"a": 8, "b": 8, "c": 8, "d": 8, "e": 16, "f": 16, "g": 4}, "1 × 4, 4 × 8, 2 × 16 wide"},
	}
	for _, tt := range tests {
		if got := Widths(tt.in); got != tt.want {
			t.Errorf("Widths(%v) = %q, want %q", tt.in, got, tt.want)
		}
	}
}
