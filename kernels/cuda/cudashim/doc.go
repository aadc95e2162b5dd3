// Package cudashim lets unmodified gorgonia.org/cu build and start without
// anything of CUDA: it defines the entry points of the driver library as
// functions that forward to libcuda.so.1, which is found with dlopen when the
// program starts. So one program serves hosts with and without a GPU. It is
// built with the tag cuda; without the tag it is empty.
//
// gorgonia.org/cu compiles cuda.h and links libcuda by itself, so the
// environment must name ours:
//
//	CGO_CFLAGS=-I$PWD/kernels/cuda/cudashim/include CGO_LDFLAGS=-L$PWD/kernels/cuda/cudashim/lib
//
// lib/libcuda.a is an empty archive. The environment variable
// ESPALIER_CUDA_DRIVER names another driver library, or turns the GPU off
// with "none".
//
// Promises: the package's initialisation never ends the process, whatever the
// driver answers; a function that the driver lacks answers that it is not
// supported. Left to others: every use of the driver (package gpu).
package cudashim
