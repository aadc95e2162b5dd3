package cpu

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
