//go:build emulated

package emulator_test

import (
	"testing"

	"github.com/espalier-ml/espalier/kernels"
	"github.com/espalier-ml/espalier/kernels/cuda"
	"github.com/espalier-ml/espalier/kernels/cuda/emulator"
	"github.com/espalier-ml/espalier/kernels/kernelstest"
)

func open(t testing.TB, o emulator.Options) *cuda.Device {
	d := cuda.New(emulator.New(o))
	t.Cleanup(func() { d.Close() })
	return d
}

// Every op on the CUDA kernels against the portable loops of kernels/cpu.
func TestConformance(t *testing.T) {
	kernelstest.Run(t, func(t testing.TB) kernels.Device { return open(t, emulator.Options{}) })
}

// A missing barrier, or a sum whose order is left to chance, shows as other
// bits when threads run in another order and blocks side by side.
func TestOrderOfThreadsChangesNoBit(t *testing.T) {
	for seed := range uint32(2) {
		kernelstest.Same(t, open(t, emulator.Options{}), open(t, emulator.Options{Threads: 2, Seed: seed + 1}))
	}
}
