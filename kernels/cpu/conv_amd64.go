package cpu

import "unsafe"

// The kernels of conv_amd64.s. None keeps its argument.

//go:noescape
func convTile16(a *convTileArgs)

//go:noescape
func convTile8(a *convTileArgs)

//go:noescape
func convTile4(a *convTileArgs)

//go:noescape
func convTileDepth16(a *convTileArgs)

//go:noescape
func convTileDepth8(a *convTileArgs)

//go:noescape
func convGrad16(a *convGradArgs)

//go:noescape
func convGrad8(a *convGradArgs)

//go:noescape
func convGradDepth16(a *convGradArgs)

//go:noescape
func convGradDepth8(a *convGradArgs)

// convPrefetch asks for lines of memory from p on. It never faults.
//
//go:noescape
func convPrefetch(p unsafe.Pointer, lines int)

// convPack16 copies rows of 16 floats that stand stride bytes apart, side by
// side.
//
//go:noescape
func convPack16(dst, src unsafe.Pointer, rows, stride int)

// convTurn8 transposes n blocks of 8 by 8 floats: 8 rows of 8·n floats, stride
// bytes apart, become 8·n rows of 8, width bytes apart.
//
//go:noescape
func convTurn8(dst, src unsafe.Pointer, n, stride, width int)

// winoRows writes r0-r2, r1+r2, r2-r1 and r1-r3 of n ≥ 8 floats to four rows
// that lie step bytes apart.
//
//go:noescape
func winoRows(dst unsafe.Pointer, step int, r0, r1, r2, r3 unsafe.Pointer, n int)

// winoColumns does the same with the c ≥ 8 floats of pixels 2i to 2i+3 of t
// for every tile i, into four planes.
//
//go:noescape
func winoColumns(v, t unsafe.Pointer, tiles, c, plane int)

// winoOutput computes 2x2 pixels of k ≥ 8 floats for each of tiles that lie
// side by side, width floats apart, in 16 planes from m on: rows y0 and y1.
//
//go:noescape
func winoOutput(y0, y1, m unsafe.Pointer, tiles, k, width, plane int, add bool)

// winoSpread writes 16 planes of tiles of k ≥ 8 floats from rows y0 and y1.
//
//go:noescape
func winoSpread(v, y0, y1 unsafe.Pointer, tiles, k, plane int)

// winoWeights transforms n floats, a multiple of 8, of nine taps to 16 planes.
//
//go:noescape
func winoWeights(dst, src unsafe.Pointer, n, dstStep, srcStep int)

// winoFold transforms n floats, a multiple of 8, of 16 planes to nine taps.
//
//go:noescape
func winoFold(dst, src unsafe.Pointer, n, dstStep, srcStep int)
