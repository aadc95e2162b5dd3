//go:build cuda

package cudashim

// #cgo LDFLAGS: -ldl
// int cudashim_status(const char **);
import "C"

import "fmt"

// DriverVariable is the environment variable that names the driver library.
const DriverVariable = "ESPALIER_CUDA_DRIVER"

// Available returns nil when a driver was found and has initialised itself.
func Available() error {
	var why *C.char
	if rc := C.cudashim_status(&why); rc != 0 {
		return fmt.Errorf("no CUDA driver (status %d): %s: install NVIDIA's driver, or name its libcuda in %s", int(rc), C.GoString(why), DriverVariable)
	}
	return nil
}
