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
