// Vector writes the AVX2 kernels of elementwise operations, normalisation,
// losses and optimizers: streams of floats that are read once, in order.
//
// A kernel is described by what happens to one vector of 8 elements; the
// generator adds the unrolled loop, the loop for single vectors and a tail
// under a mask. All three do the same arithmetic for an element, so results do
// not depend on where a run of elements was cut.
//
//	go run ./gen/vector .    # in kernels/cpu
package main

import (
	"fmt"
	"go/format"
	"os"
	"path/filepath"
)

// outputs returns the contents of all generated files by name.
func outputs() (map[string][]byte, error) {
	out := map[string][]byte{}
	for name, f := range map[string]*file{
		"norm": normFile(), "point": pointFile(), "loss": lossFile(), "optim": optimFile(),
	} {
		out[name+"_kernels_amd64.s"] = []byte(f.source())
		src, err := format.Source([]byte(f.declarations()))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		out[name+"_kernels_amd64.go"] = src
	}
	return out, nil
}

func main() {
	out, err := outputs()
	if err == nil && len(os.Args) != 2 {
		err = fmt.Errorf("usage: vector DIRECTORY")
	}
	for name, data := range out {
		if err == nil {
			err = os.WriteFile(filepath.Join(os.Args[1], name), data, 0o644)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "vector:", err)
		os.Exit(1)
	}
}
