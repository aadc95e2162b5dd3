package philox

import "golang.org/x/sys/cpu"

var hasAVX2 = cpu.X86.HasAVX2

// normalsAVX2 writes scale times the normal numbers of 4·groups counters: c
// and those that follow it in c[1].
//
//go:noescape
func normalsAVX2(dst *float32, groups int, key Key, c Counter, scale float32)

// normal does what Normal says, in groups of 16 numbers, and reports whether
// it can.
func (k Key) normal(c Counter, scale float32, dst []float32) bool {
	if !hasAVX2 {
		return false
	}
	groups := len(dst) / 16
	if groups > 0 {
		normalsAVX2(&dst[0], groups, k, c, scale)
	}
	if dst = dst[16*groups:]; len(dst) > 0 {
		var last [16]float32
		c[1] += uint32(4 * groups)
		normalsAVX2(&last[0], 1, k, c, scale)
		copy(dst, last[:])
	}
	return true
}
