// Package src holds the CUDA C++ sources of the kernels, by op family, as text
// for the run-time compiler. Each file says at its head which portable loop of
// kernels/cpu every kernel must equal.
//
// Promise: a file includes nothing but the headers of this folder, uses the
// subset of CUDA that package emulator runs on a CPU, and compiles for every
// architecture of [Architectures]. Launching them is left to package cuda.
package src

import (
	"embed"
	"fmt"
	"io/fs"
	"regexp"
)

// Files holds every .cu and .cuh file.
//
//go:embed *.cu *.cuh
var Files embed.FS

// Architectures are the GPUs that the sources must compile for, as NVRTC and
// nvcc name them: Ampere, Ada and Hopper, and virtual code for what follows.
var Architectures = []string{"sm_80", "sm_86", "sm_89", "sm_90", "compute_80", "compute_90"}

var exported = regexp.MustCompile(`(?m)^KERNEL\((\w+)\)`)

// Kernels maps the name of each kernel to its file.
func Kernels() (map[string]string, error) {
	files, err := fs.Glob(Files, "*.cu")
	if err != nil {
		return nil, err
	}
	of := map[string]string{}
	for _, file := range files {
		text, err := fs.ReadFile(Files, file)
		if err != nil {
			return nil, err
		}
		for _, m := range exported.FindAllSubmatch(text, -1) {
			if other, ok := of[string(m[1])]; ok {
				return nil, fmt.Errorf("kernel %s is in %s and in %s", m[1], other, file)
			}
			of[string(m[1])] = file
		}
	}
	return of, nil
}
