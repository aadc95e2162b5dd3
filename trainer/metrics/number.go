package metrics

import (
	"fmt"
	"math"
	"strconv"
)

// Number is a float64 that JSON can carry whatever its value: NaN and the
// infinities are written as the strings "NaN", "Infinity" and "-Infinity".
// A null is read as NaN.
type Number float64

// Of returns a pointer to x, for the fields that may be absent.
func Of(x float64) *Number { return new(Number(x)) }

// Finite reports whether x is neither NaN nor infinite.
func (x Number) Finite() bool {
	return !math.IsNaN(float64(x)) && !math.IsInf(float64(x), 0)
}

// MarshalJSON writes the shortest decimal that reads back as x.
func (x Number) MarshalJSON() ([]byte, error) {
	v := float64(x)
	switch {
	case math.IsNaN(v):
		return []byte(`"NaN"`), nil
	case math.IsInf(v, 1):
		return []byte(`"Infinity"`), nil
	case math.IsInf(v, -1):
		return []byte(`"-Infinity"`), nil
	}
	format := byte('f')
	if a := math.Abs(v); a != 0 && (a < 1e-6 || a >= 1e21) {
		format = 'e'
	}
	return strconv.AppendFloat(nil, v, format, -1, 64), nil
}

// UnmarshalJSON reads what MarshalJSON writes, a plain JSON number, or null.
func (x *Number) UnmarshalJSON(b []byte) error {
	switch s := string(b); s {
	case `null`, `"NaN"`:
		*x = Number(math.NaN())
	case `"Infinity"`, `"+Inf"`, `"Inf"`:
		*x = Number(math.Inf(1))
	case `"-Infinity"`, `"-Inf"`:
		*x = Number(math.Inf(-1))
	default:
		if s != "" && s[0] == '"' {
			return fmt.Errorf(`%.40s is not a number; want digits, null, "NaN", "Infinity" or "-Infinity"`, s)
		}
		v, err := strconv.ParseFloat(s, 64)
		if err != nil {
			return fmt.Errorf("%.40s is not a number", s)
		}
		*x = Number(v)
	}
	return nil
}
