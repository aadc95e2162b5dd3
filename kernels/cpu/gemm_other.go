//go:build !amd64

package cpu

// Never called: without HasAVX2 a device is portable.

var useAVX512 = false

func gemmRows(a *gemmArgs)                                                   { panic("cpu: no AVX2") }
func gemmCols(a *gemmArgs)                                                   { panic("cpu: no AVX2") }
func gemmRowsWide(a *gemmArgs)                                               { panic("cpu: no AVX2") }
func gemmColsWide(a *gemmArgs)                                               { panic("cpu: no AVX2") }
func packWide(dst, src *float32, ld uintptr, k int, next uintptr, count int) { panic("cpu: no AVX2") }
func packNarrow(dst, src *float32, ld uintptr, k int, mask *int32)           { panic("cpu: no AVX2") }
func packTransposed(dst, src *float32, ld uintptr, k8 int)                   { panic("cpu: no AVX2") }
func addRowsAVX(dst, src *float32, ld uintptr, k, n int)                     { panic("cpu: no AVX2") }
func fmaChains(n int)                                                        { panic("cpu: no AVX2") }
func triadLoop(a, b, c *float32, n int)                                      { panic("cpu: no AVX2") }
func packTall(dst, src *float32, ld uintptr, k, rows int)                    { panic("cpu: no AVX2") }
