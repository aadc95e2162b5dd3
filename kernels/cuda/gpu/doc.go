// Package gpu is the driver of a real GPU for package cuda, on
// gorgonia.org/cu: primary context, one stream, memory, modules compiled when
// a kernel of theirs is first launched. It is built with the tag cuda (see
// package cudashim for the environment that takes); without it, it is empty.
//
//	c, err := nvrtc.Open()
//	drv, err := gpu.Open(0, c.Compile)
//	d := cuda.New(drv)
//
// Promises: all calls to the driver are made by one goroutine that is locked
// to its thread, where the context is current; every status is checked and an
// error names the call; Close gives back everything, also after errors.
//
// State: it runs against a library that stands in for the driver (folder
// fake). It has never run on a GPU. Left out so far: graphs, pinned staging,
// memory pools.
package gpu
