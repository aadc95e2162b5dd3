// Package nvrtc compiles the CUDA sources with NVIDIA's run-time compiler,
// which it finds with dlopen: neither to build a program nor to start it takes
// anything of CUDA. It is built with the tag cuda and needs cgo; without the
// tag it is empty.
//
//	c, err := nvrtc.Open()
//	code, err := c.Compile(src.Files, "norm.cu", "sm_90")
//
// Promises: a missing library, or one without a function that is needed, is an
// error that lists what was tried; the compiler's own messages are part of the
// error. A GPU or its driver is not needed to compile.
//
// Left to others: loading the code into a GPU.
package nvrtc
