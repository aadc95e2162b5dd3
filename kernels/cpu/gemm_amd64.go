package cpu

import "golang.org/x/sys/cpu"

// useAVX512 chooses the wide kernels; they give the same bits.
var useAVX512 = cpu.X86.HasAVX512F && cpu.X86.HasAVX512DQ

//go:noescape
func gemmRows(a *gemmArgs)

//go:noescape
func gemmCols(a *gemmArgs)

//go:noescape
func gemmRowsWide(a *gemmArgs)

//go:noescape
func gemmColsWide(a *gemmArgs)

//go:noescape
func packWide(dst, src *float32, ld uintptr, k int, next uintptr, count int)

//go:noescape
func packNarrow(dst, src *float32, ld uintptr, k int, mask *int32)

//go:noescape
func packTransposed(dst, src *float32, ld uintptr, k8 int)

//go:noescape
func packTall(dst, src *float32, ld uintptr, k, rows int)

//go:noescape
func addRowsAVX(dst, src *float32, ld uintptr, k, n int)

//go:noescape
func fmaChains(n int)

//go:noescape
func triadLoop(a, b, c *float32, n int)
