//go:build emulated

package emulator_test

import (
	"testing"

	"github.com/espalier-ml/espalier/kernels"
	"github.com/espalier-ml/espalier/kernels/cuda"
	"github.com/espalier-ml/espalier/kernels/cuda/emulator"
	"github.com/espalier-ml/espalier/kernels/kernelstest"
)

// Every op on the CUDA kernels against the portable loops of kernels/cpu.
func TestConformance(t *testing.T) {
	kernelstest.Run(t, func(t testing.TB) kernels.Device {
		return cuda.New(emulator.New(emulator.Options{}))
	})
}
