//go:build cuda

package nvrtc_test

import (
	"bytes"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/espalier-ml/espalier/kernels/cuda/nvrtc"
	"github.com/espalier-ml/espalier/kernels/cuda/src"
)

func open(t *testing.T) *nvrtc.Compiler {
	c, err := nvrtc.Open()
	if err != nil {
		t.Skip(err)
	}
	version, err := c.Version()
	if err != nil {
		t.Fatal(err)
	}
	t.Log(version)
	return c
}

// Every source compiles for every architecture, and the code holds its kernels.
func TestSourcesCompile(t *testing.T) {
	c := open(t)
	kernels, err := src.Kernels()
	if err != nil || len(kernels) == 0 {
		t.Fatal(kernels, err)
	}
	files := map[string][]string{}
	for kernel, file := range kernels {
		files[file] = append(files[file], kernel)
	}
	for _, arch := range src.Architectures {
		for file, names := range files {
			code, err := c.Compile(src.Files, file, arch)
			if err != nil {
				t.Error(err)
				continue
			}
			for _, n := range names {
				if !bytes.Contains(code, []byte(n)) {
					t.Errorf("%s for %s: %d bytes of code without kernel %s", file, arch, len(code), n)
				}
			}
		}
	}
}

func TestMistakesAreNamed(t *testing.T) {
	c := open(t)
	files := fstest.MapFS{"bad.cu": {Data: []byte("int x = nothing;\n")}}
	for _, bad := range []struct{ file, arch, want string }{
		{"bad.cu", "sm_80", `bad.cu(1): error: identifier "nothing" is undefined`},
		{"bad.cu", "sm_1", "sm_1"},
		{"none.cu", "sm_80", "none.cu"},
	} {
		code, err := c.Compile(files, bad.file, bad.arch)
		if err == nil || !strings.Contains(err.Error(), bad.want) {
			t.Errorf("%s for %s: %d bytes, error %v, want one with %q", bad.file, bad.arch, len(code), err, bad.want)
		}
	}
}

func TestMissingLibraryIsAnError(t *testing.T) {
	t.Setenv(nvrtc.PathVariable, "libthereisnone.so.1")
	_, err := nvrtc.Open()
	if err == nil || !strings.Contains(err.Error(), "libthereisnone.so.1") || !strings.Contains(err.Error(), nvrtc.PathVariable) {
		t.Errorf("error %v, want one that names the library and the variable", err)
	}
}
