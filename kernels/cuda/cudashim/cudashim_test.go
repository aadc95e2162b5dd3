//go:build cuda

package cudashim_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	_ "gorgonia.org/cu" // its init calls the driver

	"github.com/espalier-ml/espalier/kernels/cuda/cudashim"
)

// A program that links gorgonia.org/cu starts without a driver and can say why
// there is none. The driver is looked for at start: hence the second process.
func TestStartWithoutADriver(t *testing.T) {
	if os.Getenv("CUDASHIM_ASK") != "" {
		if err := cudashim.Available(); err == nil {
			t.Error("there is a driver")
		} else {
			t.Log(err)
		}
		return
	}
	for _, c := range []struct{ driver, want string }{
		{"none", "turned off by ESPALIER_CUDA_DRIVER=none"},
		{"/nonexistent/libcuda.so.1", "/nonexistent/libcuda.so.1: cannot open shared object file"},
	} {
		again := exec.Command(os.Args[0], "-test.run=TestStartWithoutADriver", "-test.v")
		again.Env = append(os.Environ(), "CUDASHIM_ASK=1", cudashim.DriverVariable+"="+c.driver)
		out, err := again.CombinedOutput()
		if err != nil || !strings.Contains(string(out), c.want) || !strings.Contains(string(out), "install NVIDIA's driver") {
			t.Errorf("driver %s: %v\n%s\nwant a message with %q", c.driver, err, out, c.want)
		}
	}
}
