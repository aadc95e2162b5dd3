package cpu

import "github.com/espalier-ml/espalier/kernels"

//go:generate go run ./gen/vmath -o vmath_amd64.s

// Elementwise functions on AVX2, for the kernels of all families. They need a
// processor that HasAVX2 accepts. dst may be a source, else the slices must
// not overlap; sources have at least len(dst) elements. An element's value
// depends on nothing but the element.
//
// Distance from the exact function in units of the last place, at most: exp
// 1.2, ln 0.7, sigmoid 2.4 (0 below -87), tanh 3.6; SiLU 4; GELU and the
// derivatives within 1e-6 absolutely. Infinities and NaN are right.

// vexp is dst = e^src.
func vexp(dst, src []float32) {
	if n := len(dst); n > 0 {
		vexpAVX(&dst[0], &src[:n][0], n)
	}
}

// vtanh is dst = tanh(src).
func vtanh(dst, src []float32) {
	if n := len(dst); n > 0 {
		vtanhAVX(&dst[0], &src[:n][0], n)
	}
}

// vsigmoid is dst = 1/(1+e^-src).
func vsigmoid(dst, src []float32) {
	if n := len(dst); n > 0 {
		vsigmoidAVX(&dst[0], &src[:n][0], n)
	}
}

// vsilu is dst = src·sigmoid(src).
func vsilu(dst, src []float32) {
	if n := len(dst); n > 0 {
		vsiluAVX(&dst[0], &src[:n][0], n)
	}
}

// vgelu is dst = src·(1+tanh u)/2 with u = √(2/π)·(src + 0.044715·src³).
func vgelu(dst, src []float32) {
	if n := len(dst); n > 0 {
		vgeluAVX(&dst[0], &src[:n][0], n)
	}
}

// vrelu is dst = max(src, 0).
func vrelu(dst, src []float32) {
	if n := len(dst); n > 0 {
		vreluAVX(&dst[0], &src[:n][0], n)
	}
}

// vexpSub is dst = e^(src-max) and returns the sum of dst, added in an order
// that depends on the length alone. Values below e^-87 become 0. max is meant
// to be about the largest element of src: above it by 88 results saturate.
func vexpSub(dst, src []float32, max float32) float32 {
	if n := len(dst); n > 0 {
		return vexpSubAVX(&dst[0], &src[:n][0], n, max)
	}
	return 0
}

// vscale is dst = src·scale.
func vscale(dst, src []float32, scale float32) {
	if n := len(dst); n > 0 {
		vscaleAVX(&dst[0], &src[:n][0], n, scale)
	}
}

// vdot is Σ x·y over len(x) elements, added in an order that depends on the
// length alone.
func vdot(x, y []float32) float32 {
	if n := len(x); n > 0 {
		return vdotAVX(&x[0], &y[:n][0], n)
	}
	return 0
}

// vsoftmaxGrad is dst = p·(dy-mean)·scale: the gradient by the scores of a
// softmax with result p, mean being Σ p·dy.
func vsoftmaxGrad(dst, p, dy []float32, mean, scale float32) {
	if n := len(dst); n > 0 {
		vsoftmaxGradAVX(&dst[0], &p[:n][0], &dy[:n][0], n, mean, scale)
	}
}

// vlog is dst = ln src, for normal src > 0.
func vlog(dst, src []float32) {
	if n := len(dst); n > 0 {
		vlogAVX(&dst[0], &src[:n][0], n)
	}
}

// vmax is the largest element of src, which must not be empty. NaN may or may
// not be passed over.
func vmax(src []float32) float32 { return vmaxAVX(&src[0], len(src)) }

// vact is dst = act(src).
func vact(act kernels.Act, dst, src []float32) {
	switch act {
	case kernels.ReLU:
		vrelu(dst, src)
	case kernels.GELU:
		vgelu(dst, src)
	case kernels.SiLU:
		vsilu(dst, src)
	case kernels.Tanh:
		vtanh(dst, src)
	case kernels.Sigmoid:
		vsigmoid(dst, src)
	default:
		copy(dst, src)
	}
}

// vgeluGrad is dst = dy·gelu'(pre).
func vgeluGrad(dst, pre, dy []float32) { vactGrad(kernels.GELU, dst, pre, dy) }

// vactGrad is dst = dy·act'(·), with x the operand that the derivative is a
// function of: the output where act.FromOutput, else the input.
func vactGrad(act kernels.Act, dst, x, dy []float32) {
	n := len(dst)
	if n == 0 {
		return
	}
	d, px, py := &dst[0], &x[:n][0], &dy[:n][0]
	switch act {
	case kernels.ReLU:
		vreluGradAVX(d, px, py, n)
	case kernels.GELU:
		vgeluGradAVX(d, px, py, n)
	case kernels.SiLU:
		vsiluGradAVX(d, px, py, n)
	case kernels.Tanh:
		vtanhGradAVX(d, px, py, n)
	case kernels.Sigmoid:
		vsigmoidGradAVX(d, px, py, n)
	default:
		copy(dst, dy)
	}
}

// lstmCellArgs are n units of one cell in one step: c = f⊙prev + i⊙g,
// h = o⊙tanh c, with the activated gates i f g o at gates, gates+gate, ….
type lstmCellArgs struct {
	gates      *float32
	gate       uintptr // bytes from one gate to the next
	prev, c, h *float32
	n          int
}

// lstmGradArgs are the gradient of lstmCellArgs. dc holds the gradient by the
// cell state from later steps and leaves with that for the step before.
type lstmGradArgs struct {
	gates           *float32
	gate            uintptr
	dgates          *float32
	dgate           uintptr
	prev, c, dh, dc *float32
	n               int
}
