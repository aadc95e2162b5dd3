package lowbit

import "math"

// Scale sets t to dots times steps, ScaleAdd adds them: what the sums of a
// group of channels contribute to the outputs of a token, but for its delta.
func Scale(t []float64, dots []int32, steps []float64) {
	n := 0
	if fast {
		if n = len(t) &^ 3; n > 0 {
			scaleAVX(&t[0], &dots[0], &steps[0], n)
		}
	}
	for i := n; i < len(t); i++ {
		t[i] = float64(dots[i]) * steps[i]
	}
}

// ScaleAdd is Scale that adds to t.
func ScaleAdd(t []float64, dots []int32, steps []float64) {
	n := 0
	if fast {
		if n = len(t) &^ 3; n > 0 {
			scaleAddAVX(&t[0], &dots[0], &steps[0], n)
		}
	}
	for i := n; i < len(t); i++ {
		t[i] = float64(t[i] + float64(float64(dots[i])*steps[i]))
	}
}

// Finish makes the outputs of a token: y = delta·t + bias + residual, not below
// 0 with relu, in float64 and rounded once. residual may be nil.
func Finish(y []float32, t []float64, delta float64, bias, residual []float32, relu bool) {
	floor := math.Inf(-1)
	if relu {
		floor = 0
	}
	n := 0
	if fast {
		if n = len(y) &^ 3; n > 0 {
			var r *float32
			if residual != nil {
				r = &residual[0]
			}
			finishAVX(&y[0], &t[0], &bias[0], r, n, delta, floor)
		}
	}
	for i := n; i < len(y); i++ {
		v := float64(float64(t[i]*delta) + float64(bias[i]))
		if residual != nil {
			v = float64(v + float64(residual[i]))
		}
		if v < floor {
			v = floor
		}
		y[i] = float32(v)
	}
}
