package cpu_test

import (
	"testing"

	"github.com/espalier-ml/espalier/kernels"
	"github.com/espalier-ml/espalier/kernels/cpu"
	"github.com/espalier-ml/espalier/kernels/kernelstest"
)

func open(t testing.TB, portable bool, threads int) kernels.Device {
	d, err := cpu.New(cpu.Options{Threads: threads, Portable: portable, Spin: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// kinds are the kernels that can run here.
func kinds() map[string]bool {
	k := map[string]bool{"portable": true}
	if cpu.HasAVX2() {
		k["avx2"] = false
	}
	return k
}

func TestConformance(t *testing.T) {
	for kind, portable := range kinds() {
		t.Run(kind, func(t *testing.T) {
			if portable && raceDetector {
				t.Skip("TestThreadsChangeNoBit runs the same loops on as many threads")
			}
			kernelstest.Run(t, func(t testing.TB) kernels.Device { return open(t, portable, 3) })
		})
	}
}

func TestThreadsChangeNoBit(t *testing.T) {
	for kind, portable := range kinds() {
		t.Run(kind, func(t *testing.T) {
			kernelstest.Same(t, open(t, portable, 1), open(t, portable, 3))
		})
	}
}

func TestRunAllocatesNothing(t *testing.T) {
	if raceDetector {
		t.Skip("the detector allocates")
	}
	for kind, portable := range kinds() {
		t.Run(kind, func(t *testing.T) {
			kernelstest.NoAllocs(t, open(t, portable, 3))
		})
	}
}
