package lowbit

import "golang.org/x/sys/cpu"

//go:generate go run ./gen -o lowbit_amd64.s

// fast is set where the assembly can run.
var fast = cpu.X86.HasAVX2

//go:noescape
func dot1x1(a *dotArgs)

//go:noescape
func dot1x2(a *dotArgs)

//go:noescape
func dot2x1(a *dotArgs)

//go:noescape
func dot2x2(a *dotArgs)

//go:noescape
func dot4x1(a *dotArgs)

//go:noescape
func dot4x2(a *dotArgs)

//go:noescape
func dot8x1(a *dotArgs)

//go:noescape
func lookUpAVX(sums *uint16, w, tab *byte, pairs int)

//go:noescape
func lookUp8AVX(sums *uint16, w, tab *byte, pairs int)

//go:noescape
func tables8AVX(t *byte, a *int8, pairs int)

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

//go:noescape
func scaleAVX(t *float64, dots *int32, steps *float64, n int)

//go:noescape
func scaleAddAVX(t *float64, dots *int32, steps *float64, n int)

//go:noescape
func finishAVX(y *float32, t *float64, bias, residual *float32, n int, delta, floor float64)

// dotArgs is what a product in assembly is told; gen knows the offsets.
type dotArgs struct {
	dst, dst1             *int32
	w                     *byte
	a                     *int8
	stride, blocks, tiles int
	less                  [2]int32
}

// tilesAVX is tilesPortable in assembly, for len(dst[0])/4 whole tiles.
func tilesAVX(bits int, dst [2][]int32, less [2]int32, w []byte, a []int8, stride, blocks int) {
	tiles, n := len(dst[0])/tileRows, 1
	x := dotArgs{dst: &dst[0][0], w: &w[:tiles*tileRows*blocks*blockBytes][0], stride: stride, blocks: blocks, tiles: tiles, less: less}
	if dst[1] != nil {
		n, x.dst1 = 2, &dst[1][:len(dst[0])][0]
	}
	x.a = &a[:(n-1)*stride+blocks*Elements(bits)][0]
	switch 10*bits + n { // no function values: their arguments would be allocated
	case 11:
		dot1x1(&x)
	case 12:
		dot1x2(&x)
	case 21:
		dot2x1(&x)
	case 22:
		dot2x2(&x)
	case 41:
		dot4x1(&x)
	case 42:
		dot4x2(&x)
	default:
		dot8x1(&x)
	}
}
