//go:build cuda

package nvrtc

// #cgo LDFLAGS: -ldl
// #include "nvrtc.h"
// #include <stdlib.h>
import "C"

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"unsafe"
)

// Names are the libraries that Open tries, the newest first.
var Names = []string{"libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so.11.2"}

// PathVariable is the environment variable that names the library to load
// instead of Names.
const PathVariable = "ESPALIER_NVRTC"

// Compiler is a loaded library. Its methods may be called from several
// goroutines.
type Compiler struct {
	lib  C.nvrtc_library
	name string
}

// Open loads the first library that is there.
func Open() (*Compiler, error) {
	names := Names
	if p := os.Getenv(PathVariable); p != "" {
		names = []string{p}
	}
	var errs []error
	for _, n := range names {
		c := &Compiler{name: n}
		cn := C.CString(n)
		why := C.nvrtc_open(&c.lib, cn)
		C.free(unsafe.Pointer(cn))
		if why == nil {
			return c, nil
		}
		errs = append(errs, fmt.Errorf("nvrtc: load %s: %s", n, C.GoString(why)))
	}
	return nil, fmt.Errorf("%w (set %s to the library's path)", errors.Join(errs...), PathVariable)
}

// Version is the library's name and version.
func (c *Compiler) Version() (string, error) {
	var major, minor C.int
	if rc := C.nvrtc_version(&c.lib, &major, &minor); rc != 0 {
		return "", fmt.Errorf("nvrtc: version of %s: %s", c.name, c.reason(rc))
	}
	return fmt.Sprintf("%s %d.%d", c.name, major, minor), nil
}

func (c *Compiler) reason(rc C.int) string { return C.GoString(C.nvrtc_error(&c.lib, rc)) }

// Compile compiles a file of sources, whose headers lie beside it: for sm_NN to
// machine code (a cubin), for compute_NN to PTX.
func (c *Compiler) Compile(sources fs.FS, file, arch string) ([]byte, error) {
	source, err := fs.ReadFile(sources, file)
	if err != nil {
		return nil, fmt.Errorf("nvrtc: %w", err)
	}
	names, err := fs.Glob(sources, "*.cuh")
	if err != nil {
		return nil, fmt.Errorf("nvrtc: %w", err)
	}
	var texts []string
	for _, n := range names {
		b, err := fs.ReadFile(sources, n)
		if err != nil {
			return nil, fmt.Errorf("nvrtc: %w", err)
		}
		texts = append(texts, string(b))
	}
	code, log, rc := c.compile(string(source), file, texts, names, []string{"--gpu-architecture=" + arch, "--std=c++17"}, strings.HasPrefix(arch, "sm_"))
	if rc != 0 {
		return nil, fmt.Errorf("nvrtc: compile %s for %s: %s\n%s", file, arch, c.reason(rc), log)
	}
	return code, nil
}

func (c *Compiler) compile(source, name string, texts, names, options []string, cubin bool) ([]byte, string, C.int) {
	var free []unsafe.Pointer
	text := func(s string) *C.char {
		p := C.CString(s)
		free = append(free, unsafe.Pointer(p))
		return p
	}
	array := func(list []string) **C.char {
		p := C.calloc(C.size_t(len(list)+1), 8)
		free = append(free, p)
		for i, s := range list {
			unsafe.Slice((**C.char)(p), len(list))[i] = text(s)
		}
		return (**C.char)(p)
	}
	var code, log *C.char
	var size C.size_t
	rc := C.nvrtc_compile(&c.lib, text(source), text(name), C.int(len(texts)), array(texts), array(names),
		C.int(len(options)), array(options), C.int(flag(cubin)), &code, &size, &log)
	free = append(free, unsafe.Pointer(code), unsafe.Pointer(log))
	defer func() {
		for _, p := range free {
			C.free(p)
		}
	}()
	return C.GoBytes(unsafe.Pointer(code), C.int(size)), C.GoString(log), rc
}

func flag(on bool) int {
	if on {
		return 1
	}
	return 0
}
