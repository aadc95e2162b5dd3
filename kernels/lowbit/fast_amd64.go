package lowbit

import "golang.org/x/sys/cpu"

//go:generate go run ./gen -o lowbit_amd64.s

// fast is set where the assembly can run.
var fast = cpu.X86.HasAVX2

//go:noescape
func dot1x1(sums *int32, w *byte, a *int8, stride, blocks int)

//go:noescape
func dot1x2(sums *int32, w *byte, a *int8, stride, blocks int)

//go:noescape
func dot2x1(sums *int32, w *byte, a *int8, stride, blocks int)

//go:noescape
func dot2x2(sums *int32, w *byte, a *int8, stride, blocks int)

//go:noescape
func dot4x1(sums *int32, w *byte, a *int8, stride, blocks int)

//go:noescape
func dot4x2(sums *int32, w *byte, a *int8, stride, blocks int)

//go:noescape
func dot8x1(sums *int32, w *byte, a *int8, stride, blocks int)

//go:noescape
func lookUpAVX(sums *uint16, w, tab *byte, pairs int)

//go:noescape
func tablesAVX(t *byte, a *int8, pairs int)

//go:noescape
func maxAbsAVX(x *float32, n int) float32

//go:noescape
func encodeAVX(dst *int8, x *float32, n int, delta, most float32)

//go:noescape
func sumCodesAVX(a *int8, n int) int32

//go:noescape
func roundAVX(dst, x *float32, n int, delta, most float32)

//go:noescape
func noiseAVX(dst *float32, keys *uint32, n, first int)

//go:noescape
func largerAVX(m, x *float32, n int)

//go:noescape
func downAVX(w, inverse, step *float32, n int, low, high, mid float32)

//go:noescape
func nearestAVX(w, inverse, step *float32, n int, low, high, mid float32)

// tileAVX is tile in assembly. What it reads is within the slices: w has four
// rows of blocks, a as many codes for every token.
func tileAVX(bits, n int, sums *[2 * tileRows]int32, w []byte, a []int8, stride, blocks int) {
	s, x, y := &sums[0], &w[:tileRows*blocks*blockBytes][0], &a[:(n-1)*stride+blocks*Elements(bits)][0]
	switch 10*bits + n {
	case 11:
		dot1x1(s, x, y, stride, blocks)
	case 12:
		dot1x2(s, x, y, stride, blocks)
	case 21:
		dot2x1(s, x, y, stride, blocks)
	case 22:
		dot2x2(s, x, y, stride, blocks)
	case 41:
		dot4x1(s, x, y, stride, blocks)
	case 42:
		dot4x2(s, x, y, stride, blocks)
	default:
		dot8x1(s, x, y, stride, blocks)
	}
}
