//go:build !amd64

package cpu

// Never called: without HasAVX2 a device is portable.

func vexpAVX(dst, src *float32, n int)                                { panic("cpu: no AVX2") }
func vsigmoidAVX(dst, src *float32, n int)                            { panic("cpu: no AVX2") }
func vtanhAVX(dst, src *float32, n int)                               { panic("cpu: no AVX2") }
func vsiluAVX(dst, src *float32, n int)                               { panic("cpu: no AVX2") }
func vgeluAVX(dst, src *float32, n int)                               { panic("cpu: no AVX2") }
func vreluAVX(dst, src *float32, n int)                               { panic("cpu: no AVX2") }
func vsigmoidGradAVX(dst, x, dy *float32, n int)                      { panic("cpu: no AVX2") }
func vtanhGradAVX(dst, x, dy *float32, n int)                         { panic("cpu: no AVX2") }
func vreluGradAVX(dst, x, dy *float32, n int)                         { panic("cpu: no AVX2") }
func vsiluGradAVX(dst, x, dy *float32, n int)                         { panic("cpu: no AVX2") }
func vgeluGradAVX(dst, x, dy *float32, n int)                         { panic("cpu: no AVX2") }
func vexpSubAVX(dst, src *float32, n int, max float32) float32        { panic("cpu: no AVX2") }
func vmaxAVX(src *float32, n int) float32                             { panic("cpu: no AVX2") }
func lstmCellAVX(a *lstmCellArgs)                                     { panic("cpu: no AVX2") }
func lstmCellGradAVX(a *lstmGradArgs)                                 { panic("cpu: no AVX2") }
func vscaleAVX(dst, src *float32, n int, scale float32)               { panic("cpu: no AVX2") }
func vsoftmaxGradAVX(dst, x, dy *float32, n int, mean, scale float32) { panic("cpu: no AVX2") }
func vdotAVX(x, y *float32, n int) float32                            { panic("cpu: no AVX2") }
func vlogAVX(dst, src *float32, n int)                                { panic("cpu: no AVX2") }
