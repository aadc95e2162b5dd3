package lowbit

import (
	"math"

	"github.com/espalier-ml/espalier/kernels/philox"
)

// Noise fills dst with numbers uniform in (-1, 1): element i is made of word
// i%4 at counter c, the first word of which counts up with i/4. It is 2U-1
// with U of philox.Uniform, exact in float32.
func Noise(dst []float32, key philox.Key, c philox.Counter) {
	n := 0
	if fast {
		n = len(dst) &^ 31
		if n > 0 {
			noiseBlocks(dst[:n], key, c)
			c[0] += uint32(n / 4)
		}
	}
	for dst = dst[n:]; len(dst) > 0; c[0]++ {
		w := key.At(c)
		k := min(4, len(dst))
		for i := range k {
			dst[i] = (float32(w[i]>>9)+0.5)*(1.0/(1<<22)) - 1
		}
		dst = dst[k:]
	}
}

// noiseBlocks hands the assembly its round keys and counter, each in 8 lanes.
func noiseBlocks(dst []float32, key philox.Key, c philox.Counter) {
	var keys [23 * 8]uint32
	fill := func(at int, w uint32) {
		for i := range 8 {
			keys[8*at+i] = w
		}
	}
	for round := range 10 {
		fill(2*round, key[0]+uint32(round)*0x9E3779B9)
		fill(2*round+1, key[1]+uint32(round)*0xBB67AE85)
	}
	for i := range 3 {
		fill(20+i, c[1+i])
	}
	noiseAVX(&dst[0], &keys[0], len(dst), int(c[0]))
}

// Round sets dst to x rounded to multiples of delta: the numbers that Encode
// gives the codes of. A NaN stays one, and makes all of dst NaN where it is
// delta. dst may be x.
func Round(dst, x []float32, delta float32, bits int) {
	dst = dst[:len(x)]
	most := float32(Largest(bits))
	if delta == 0 {
		clear(dst)
		return
	}
	n := 0
	if fast {
		n = len(x) &^ 7
		if n > 0 {
			roundAVX(&dst[0], &x[0], n, delta, most)
		}
	}
	for i, v := range x[n:] {
		q := min(max(v/delta, -most), most)
		dst[n+i] = delta * float32(math.RoundToEven(float64(q)))
	}
}
