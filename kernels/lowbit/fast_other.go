//go:build !amd64

package lowbit

const fast = false

func maxAbsAVX(*float32, int) float32                                      { panic("lowbit: no AVX2") }
func encodeAVX(*int8, *float32, int, float32, float32)                     { panic("lowbit: no AVX2") }
func sumCodesAVX(*int8, int) int32                                         { panic("lowbit: no AVX2") }
func tileAVX(int, int, *[2 * tileRows]int32, []byte, []int8, int, int)     { panic("lowbit: no AVX2") }
func lookUpAVX(*uint16, *byte, *byte, int)                                 { panic("lowbit: no AVX2") }
func roundAVX(*float32, *float32, int, float32, float32)                   { panic("lowbit: no AVX2") }
func noiseAVX(*float32, *uint32, int, int)                                 { panic("lowbit: no AVX2") }
func largerAVX(*float32, *float32, int)                                    { panic("lowbit: no AVX2") }
func downAVX(*float32, *float32, *float32, int, float32, float32, float32) { panic("lowbit: no AVX2") }
func nearestAVX(*float32, *float32, *float32, int, float32, float32, float32) {
	panic("lowbit: no AVX2")
}
func tablesAVX(*byte, *int8, int) { panic("lowbit: no AVX2") }
