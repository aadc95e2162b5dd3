package main

import (
	"os"
	"testing"
)

func TestCheckedInFileIsCurrent(t *testing.T) {
	got, err := os.ReadFile("../lowbit_amd64.s")
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != generate() {
		t.Error("lowbit_amd64.s is not what the generator writes: run go generate ./kernels/lowbit")
	}
}
