//go:build !amd64

package cpu

import "unsafe"

// Without AVX2 a device is portable and never lowers to these kernels.

func convTile16(*convTileArgs)      { panic("cpu: no convolution kernels") }
func convTile8(*convTileArgs)       { panic("cpu: no convolution kernels") }
func convTile4(*convTileArgs)       { panic("cpu: no convolution kernels") }
func convTileDepth16(*convTileArgs) { panic("cpu: no convolution kernels") }
func convTileDepth8(*convTileArgs)  { panic("cpu: no convolution kernels") }
func convGrad16(*convGradArgs)      { panic("cpu: no convolution kernels") }
func convGrad8(*convGradArgs)       { panic("cpu: no convolution kernels") }
func convGradDepth16(*convGradArgs) { panic("cpu: no convolution kernels") }
func convGradDepth8(*convGradArgs)  { panic("cpu: no convolution kernels") }

func convPrefetch(unsafe.Pointer, int) {}

func convPack16(_, _ unsafe.Pointer, _, _ int)   { panic("cpu: no convolution kernels") }
func convTurn8(_, _ unsafe.Pointer, _, _, _ int) { panic("cpu: no convolution kernels") }

func winoRows(_ unsafe.Pointer, _ int, _, _, _, _ unsafe.Pointer, _ int) {
	panic("cpu: no convolution kernels")
}
func winoColumns(_, _ unsafe.Pointer, _, _, _ int)              { panic("cpu: no convolution kernels") }
func winoOutput(_, _, _ unsafe.Pointer, _, _, _, _ int, _ bool) { panic("cpu: no convolution kernels") }
func winoSpread(_, _, _ unsafe.Pointer, _, _, _ int)            { panic("cpu: no convolution kernels") }
func winoWeights(_, _ unsafe.Pointer, _, _, _ int)              { panic("cpu: no convolution kernels") }
func winoFold(_, _ unsafe.Pointer, _, _, _ int)                 { panic("cpu: no convolution kernels") }
