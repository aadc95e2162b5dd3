// Package src holds the CUDA C++ sources of the kernels, by op family, as text
// for the run-time compiler. Each file says at its head which portable loop of
// kernels/cpu every kernel must equal.
//
// Promise: a file includes nothing but the headers of this folder, uses the
// subset of CUDA that package emulator runs on a CPU, and compiles for every
// architecture of [Architectures]. Launching them is left to package cuda.
package src

import "embed"

// Files holds every .cu and .cuh file.
//
//go:embed *.cu *.cuh
var Files embed.FS

// Architectures are the GPUs that the sources must compile for, as NVRTC and
// nvcc name them: Ampere, Ada and Hopper, and virtual code for what follows.
var Architectures = []string{"sm_80", "sm_86", "sm_89", "sm_90", "compute_80", "compute_90"}
