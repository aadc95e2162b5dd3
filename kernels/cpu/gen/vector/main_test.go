package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

func TestCheckedInFilesAreCurrent(t *testing.T) {
	out, err := outputs()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range out {
		got, err := os.ReadFile(filepath.Join("../..", name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is stale: run go generate in kernels/cpu", name)
		}
	}
}
