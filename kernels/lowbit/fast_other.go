//go:build !amd64

package lowbit

const fast = false

func maxAbsAVX(*float32, int) float32                                      { panic("lowbit: no AVX2") }
func encodeAVX(*int8, *float32, int, float32, float32)                     { panic("lowbit: no AVX2") }
func sumCodesAVX(*int8, int) int32                                         { panic("lowbit: no AVX2") }
func tilesAVX(int, [2][]int32, [2]int32, []byte, []int8, int, int)         { panic("lowbit: no AVX2") }
func lookUpAVX(*uint16, *byte, *byte, int)                                 { panic("lowbit: no AVX2") }
func roundAVX(*float32, *float32, int, float32, float32)                   { panic("lowbit: no AVX2") }
func noiseAVX(*float32, *uint32, int, int)                                 { panic("lowbit: no AVX2") }
func largerAVX(*float32, *float32, int)                                    { panic("lowbit: no AVX2") }
func downAVX(*float32, *float32, *float32, int, float32, float32, float32) { panic("lowbit: no AVX2") }
func nearestAVX(*float32, *float32, *float32, int, float32, float32, float32) {
	panic("lowbit: no AVX2")
}
func tablesAVX(*byte, *int8, int)                 { panic("lowbit: no AVX2") }
func scaleAVX(*float64, *int32, *float64, int)    { panic("lowbit: no AVX2") }
func scaleAddAVX(*float64, *int32, *float64, int) { panic("lowbit: no AVX2") }
func finishAVX(*float32, *float64, *float32, *float32, int, float64, float64) {
	panic("lowbit: no AVX2")
}
func lookUp8AVX(*uint16, *byte, *byte, int) { panic("lowbit: no AVX2") }
func tables8AVX(*byte, *int8, int)          { panic("lowbit: no AVX2") }
