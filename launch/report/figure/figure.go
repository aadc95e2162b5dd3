// Package figure writes numbers as people read them: counts with thousands
// separators, SI prefixes, percentages, durations and ratios. The report and
// the progress display share it, so that a figure looks the same everywhere.
//
// All functions are pure. A value that is not finite is shown as "NaN", "∞" or
// "−∞", and a ratio to nothing as [Missing].
//
//	figure.Count(26970)       // 26,970
//	figure.SI(1.234e12)       // 1.23 T
//	figure.Percent(0.98443)   // 98.44 %
//	figure.Ratio(41, 100)     // 0.41×
package figure

import (
	"math"
	"strconv"
	"strings"
)

// Missing stands where there is no value.
const Missing = "–"

// Count writes n with thousands separators.
func Count(n int64) string {
	s := strconv.FormatInt(n, 10)
	sign := ""
	if s[0] == '-' {
		sign, s = "−", s[1:]
	}
	var b strings.Builder
	b.WriteString(sign)
	for i, digit := range s {
		if i > 0 && (len(s)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(digit)
	}
	return b.String()
}

// SI writes x to three significant digits with an SI prefix, ready for a unit
// behind it: "1.23 T", "45.6 M", "789 ", "0.012 ".
func SI(x float64) string {
	if s, odd := notFinite(x); odd {
		return s + " "
	}
	prefixes := []struct {
		size float64
		name string
	}{{1e18, "E"}, {1e15, "P"}, {1e12, "T"}, {1e9, "G"}, {1e6, "M"}, {1e3, "k"}}
	for _, p := range prefixes {
		if math.Abs(x) >= p.size*0.9995 {
			return digits(x/p.size, 3, false) + " " + p.name
		}
	}
	return digits(x, 3, true) + " "
}

// Flops writes an amount of work: "1.23 TFLOP".
func Flops(x float64) string { return SI(x) + "FLOP" }

// Percent writes a fraction as a percentage with two decimals.
func Percent(x float64) string {
	if s, odd := notFinite(x); odd {
		return s
	}
	return minus(strconv.FormatFloat(100*x, 'f', 2, 64)) + " %"
}

// Share writes a fraction as a whole percentage, or with one decimal below
// ten percent.
func Share(x float64) string {
	if s, odd := notFinite(x); odd {
		return s
	}
	decimals := 0
	if math.Abs(x) < 0.0995 {
		decimals = 1
	}
	return minus(strconv.FormatFloat(100*x, 'f', decimals, 64)) + " %"
}

// Points writes a difference of fractions in percentage points, with sign.
func Points(x float64) string {
	if s, odd := notFinite(x); odd {
		return s
	}
	return signed(strconv.FormatFloat(100*x, 'f', 2, 64)) + " pt"
}

// Value writes x to four significant digits.
func Value(x float64) string {
	if s, odd := notFinite(x); odd {
		return s
	}
	return digits(x, 4, false)
}

// Setting writes a value that a person chose, such as a learning rate: four
// significant digits at most, without zeros at the end.
func Setting(x float64) string {
	if s, odd := notFinite(x); odd {
		return s
	}
	return digits(x, 4, true)
}

// Difference writes x with its sign and three decimals.
func Difference(x float64) string {
	if s, odd := notFinite(x); odd {
		return s
	}
	return signed(strconv.FormatFloat(x, 'f', 3, 64))
}

// Ratio writes a/b as a factor: "0.41×". A ratio to zero is Missing.
func Ratio(a, b float64) string {
	if b == 0 || !finite(a) || !finite(b) {
		return Missing
	}
	r := a / b
	if r != 0 && math.Abs(r) < 0.1 || math.Abs(r) >= 100 {
		return digits(r, 2, false) + "×"
	}
	return minus(strconv.FormatFloat(r, 'f', 2, 64)) + "×"
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }

func notFinite(x float64) (string, bool) {
	switch {
	case math.IsNaN(x):
		return "NaN", true
	case math.IsInf(x, 1):
		return "∞", true
	case math.IsInf(x, -1):
		return "−∞", true
	}
	return "", false
}

// digits writes x to n significant digits and at least to the unit, without
// exponent between 1e-4 and 1e7. With trim, zeros at the end of the fraction are left out.
func digits(x float64, n int, trim bool) string {
	if x == 0 {
		return "0"
	}
	scientific := strconv.FormatFloat(x, 'e', n-1, 64) // "1.234e-05": rounding included
	exponent, _ := strconv.Atoi(scientific[strings.IndexByte(scientific, 'e')+1:])
	if exponent < -4 || exponent >= 7 {
		return minus(strconv.FormatFloat(x, 'e', min(n-1, 2), 64))
	}
	s := strconv.FormatFloat(x, 'f', max(0, n-1-exponent), 64)
	if trim && strings.Contains(s, ".") {
		s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
	}
	return minus(s)
}

// minus puts the sign of typography in the place of the hyphen.
func minus(s string) string {
	if strings.HasPrefix(s, "-") {
		return "−" + s[1:]
	}
	return s
}

// signed writes the sign of s also when it is positive, and none for zero.
func signed(s string) string {
	if strings.Trim(s, "-0.") == "" {
		return "±" + strings.TrimPrefix(s, "-")
	}
	if s[0] == '-' {
		return minus(s)
	}
	return "+" + s
}
