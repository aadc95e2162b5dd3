package cpu

//go:noescape
func vexpAVX(dst, src *float32, n int)

//go:noescape
func vlogAVX(dst, src *float32, n int)

//go:noescape
func vsigmoidAVX(dst, src *float32, n int)

//go:noescape
func vtanhAVX(dst, src *float32, n int)

//go:noescape
func vsiluAVX(dst, src *float32, n int)

//go:noescape
func vgeluAVX(dst, src *float32, n int)

//go:noescape
func vreluAVX(dst, src *float32, n int)

//go:noescape
func vsigmoidGradAVX(dst, x, dy *float32, n int)

//go:noescape
func vtanhGradAVX(dst, x, dy *float32, n int)

//go:noescape
func vreluGradAVX(dst, x, dy *float32, n int)

//go:noescape
func vsiluGradAVX(dst, x, dy *float32, n int)

//go:noescape
func vgeluGradAVX(dst, x, dy *float32, n int)

//go:noescape
func vexpSubAVX(dst, src *float32, n int, max float32) (sum float32)

//go:noescape
func vmaxAVX(src *float32, n int) (max float32)

//go:noescape
func lstmCellAVX(a *lstmCellArgs)

//go:noescape
func lstmCellGradAVX(a *lstmGradArgs)

//go:noescape
func vscaleAVX(dst, src *float32, n int, scale float32)

//go:noescape
func vsoftmaxGradAVX(dst, x, dy *float32, n int, mean, scale float32)

//go:noescape
func vdotAVX(x, y *float32, n int) (sum float32)
