package philox

// Normal fills dst with scale times standard normal numbers: dst[j] is number
// j%4 of Normals(k.At(c)) with j/4 added to c[1], times scale in float32. It
// gives the bits of a loop over Normals, ten times faster.
func (k Key) Normal(c Counter, scale float32, dst []float32) {
	if k.normal(c, scale, dst) {
		return
	}
	for ; len(dst) > 0; c[1]++ {
		n := Normals(k.At(c))
		for i := range n {
			n[i] *= scale
		}
		dst = dst[copy(dst, n[:]):]
	}
}
