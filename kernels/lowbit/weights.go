package lowbit

import "math"

// Rounder rounds rows of weights [outs] of one precision, every column with a
// scale M of its own: up to 4 bits to M·2^-p·(2q+1) with q = ⌊w·2^(p-1)/M⌋ in
// [-2^(p-1), 2^(p-1)), at 8 bits to M/127·q with the nearest q in [-127, 127].
type Rounder struct {
	inverse, step  []float32 // of columns: what codes are w times, steps of q
	low, high, mid float32
	nearest        bool
}

// NewRounder prepares columns of the given scales, all above 0, for `bits`
// from 1 to 8.
func NewRounder(bits int, scales []float32) *Rounder {
	r := &Rounder{inverse: make([]float32, len(scales)), step: make([]float32, len(scales)), nearest: bits == 8}
	span := float32(127)
	if r.low, r.high = -127, 127; !r.nearest {
		span = float32(int(1) << (bits - 1))
		r.low, r.high, r.mid = -span, span-1, 0.5
	}
	for i, m := range scales {
		r.inverse[i], r.step[i] = span/m, m/span
	}
	return r
}

// Round rounds a row in place. A NaN stays one.
func (r *Rounder) Round(w []float32) {
	n := 0
	if fast {
		if n = len(w) &^ 7; n > 0 {
			kernel := downAVX
			if r.nearest {
				kernel = nearestAVX
			}
			kernel(&w[0], &r.inverse[0], &r.step[0], n, r.low, r.high, r.mid)
		}
	}
	for i := n; i < len(w); i++ {
		w[i] = r.step[i] * (r.Code(i, w[i]) + r.mid)
	}
}

// Code is the code q of weight w in column i.
func (r *Rounder) Code(i int, w float32) float32 {
	t := float64(w * r.inverse[i])
	if r.nearest {
		t = math.RoundToEven(t)
	} else {
		t = math.Floor(t)
	}
	return min(max(float32(t), r.low), r.high)
}

// Larger raises m, which is not negative, to the magnitudes of x, column by
// column. A NaN is larger than all.
func Larger(m, x []float32) {
	n := 0
	if fast {
		if n = len(x) &^ 7; n > 0 {
			largerAVX(&m[0], &x[0], n)
		}
	}
	for i := n; i < len(x); i++ {
		m[i] = math.Float32frombits(max(math.Float32bits(m[i]), magnitude(x[i])))
	}
}
