//go:build cuda

package gpu_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"unsafe"

	"github.com/espalier-ml/espalier/kernels"
	"github.com/espalier-ml/espalier/kernels/cuda"
	"github.com/espalier-ml/espalier/kernels/cuda/cudashim"
	"github.com/espalier-ml/espalier/kernels/cuda/gpu"
	"github.com/espalier-ml/espalier/kernels/kernelstest"
)

// TestMain builds the fake driver and starts the tests anew with it, because
// the driver is looked for when a program starts.
func TestMain(m *testing.M) {
	if os.Getenv(cudashim.DriverVariable) != "" {
		os.Exit(m.Run())
	}
	os.Exit(withFake())
}

func withFake() int {
	if _, err := exec.LookPath("g++"); err != nil {
		fmt.Println("SKIP: no g++ to build the fake driver with:", err)
		return 0
	}
	dir, err := os.MkdirTemp("", "fakecuda")
	if err != nil {
		fmt.Println(err)
		return 1
	}
	defer os.RemoveAll(dir)
	lib := filepath.Join(dir, "libcuda.so.1")
	build := exec.Command("g++", "-std=c++17", "-O1", "-fPIC", "-shared", "-fvisibility=hidden", "-Wl,-Bsymbolic", "-I../emulator", "-o", lib,
		"testdata/fake.cpp", "../emulator/emulator.cpp", "../emulator/kernels.cpp", "-lpthread")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Printf("build the fake driver: %v\n%s", err, out)
		return 1
	}
	again := exec.Command(os.Args[0], os.Args[1:]...)
	again.Env = append(os.Environ(), cudashim.DriverVariable+"="+lib)
	again.Stdout, again.Stderr = os.Stdout, os.Stderr
	if err := again.Run(); err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

// source stands for compiled code: the fake driver asks for none.
func source(files fs.FS, file, arch string) ([]byte, error) {
	if arch != "sm_90" {
		return nil, fmt.Errorf("asked for %s", arch)
	}
	return fs.ReadFile(files, file)
}

// visible tells the host where memory is: that of the fake driver is the host's.
type visible struct{ *gpu.Driver }

func (v visible) Alloc(n int) (uint64, []byte, error) {
	addr, _, err := v.Driver.Alloc(n)
	if err != nil {
		return 0, nil, err
	}
	return addr, unsafe.Slice(*(**byte)(unsafe.Pointer(&addr)), n), nil
}

// Every op through gorgonia.org/cu and the fake driver.
func TestConformance(t *testing.T) {
	if testing.Short() {
		t.Skip("some 2,000 cases")
	}
	kernelstest.Run(t, func(t testing.TB) kernels.Device {
		d, err := gpu.Open(0, source)
		if err != nil {
			t.Fatal(err)
		}
		return cuda.New(visible{d})
	})
}

// session does one of everything.
func session() error {
	d, err := gpu.Open(0, source)
	if err != nil {
		return err
	}
	return errors.Join(compute(cuda.New(d)), d.Close())
}

func compute(d *cuda.Device) error {
	x, y := kernels.New("x", kernels.F32, 5, 3), kernels.New("y", kernels.F32, 3)
	for _, t := range []*kernels.Tensor{x, y} {
		buf, err := d.Alloc(t.Bytes())
		if err != nil {
			return err // what was allocated is left to Close of the driver
		}
		t.Buf = buf
	}
	if err := d.WriteF32(x, []float32{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}); err != nil {
		return err
	}
	exe, err := d.Compile([]kernels.Op{&kernels.SumRows{X: x, Y: y}, &kernels.Unary{X: y, Y: y, Fn: kernels.ReLU}})
	if err != nil {
		return err
	}
	if err := exe.Run(&kernels.Env{}, nil); err != nil {
		return err
	}
	var got [3]float32
	if err := d.ReadF32(y, got[:]); err != nil {
		return err
	}
	if got != [3]float32{35, 40, 45} {
		return fmt.Errorf("sums %v", got)
	}
	return errors.Join(exe.Close(), x.Buf.Close())
}

// left is the memory that is in use beyond what an open driver itself takes.
func left(t *testing.T) int64 {
	d, err := gpu.Open(0, source)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	free, total, err := d.Memory()
	if err != nil {
		t.Fatal(err)
	}
	return total - free - 2<<20 // its stream and its context
}

func TestFailureAtEveryCall(t *testing.T) {
	if err := session(); err != nil {
		t.Fatal(err)
	}
	failures := 0
	for call := 1; ; call++ {
		t.Setenv("FAKE_CUDA_FAIL", fmt.Sprint(call))
		err := session()
		t.Setenv("FAKE_CUDA_FAIL", "")
		if n := left(t); n != 0 {
			t.Errorf("failure of call %d (%v) leaves %d bytes", call, err, n)
		}
		if err == nil {
			break // there are fewer calls
		}
		failures++
	}
	if failures < 25 {
		t.Errorf("%d calls failed, want all of them", failures)
	}
	t.Logf("%d calls", failures)
}

func TestErrors(t *testing.T) {
	if _, err := gpu.Open(1, source); err == nil || !strings.Contains(err.Error(), "there are 1 GPUs") {
		t.Errorf("GPU 1 of 1: %v", err)
	}
	d, err := gpu.Open(0, func(fs.FS, string, string) ([]byte, error) { return nil, errors.New("no compiler") })
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ kernel, want string }{{"fill", "no compiler"}, {"nothing", "no such kernel"}} {
		err := d.Launch(&cuda.Launch{Kernel: c.kernel, Grid: [3]int{1, 1, 1}, Block: [3]int{1, 1, 1}})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("kernel %s: error %v, want one with %q", c.kernel, err, c.want)
		}
	}
	if _, _, err := d.Alloc(2 << 30); err == nil || !strings.Contains(err.Error(), "allocate") {
		t.Errorf("more memory than there is: %v", err)
	}
	if err := d.Free(12345); err == nil {
		t.Error("free of what was not allocated went through")
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	if err := d.Synchronize(); err == nil || !strings.Contains(err.Error(), "closed") {
		t.Errorf("after Close: %v", err)
	}
	if err := d.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
}
