package field

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// sleeper is a program that starts a child and waits.
func sleeper(t *testing.T) string {
	path := filepath.Join(t.TempDir(), "sleeper")
	if err := os.WriteFile(path, []byte("#!/bin/sh\nsleep 1000 &\necho $@\nwait\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestNodesStartAndEnd(t *testing.T) {
	f, err := New(Config{Binary: sleeper(t), Dir: t.TempDir(), Nodes: 2, Loopback: true})
	if err != nil {
		t.Fatal(err)
	}
	n := f.Nodes[0]
	if err := n.Start("hello"); err != nil {
		t.Fatal(err)
	}
	if n.Start() == nil {
		t.Error("a running node was started")
	}
	var kids []int
	for len(kids) == 0 && n.Running() {
		kids = n.Workers()
	}
	if len(kids) != 1 || len(n.Everyone()) != 2 {
		t.Fatalf("workers %v, everyone %v", kids, n.Everyone())
	}
	if err := n.Wait(time.Millisecond); !errors.Is(err, ErrRunning) {
		t.Errorf("a running node has ended: %v", err)
	}
	if n.Cut(true) == nil {
		t.Error("a loopback address was cut off")
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if n.Running() {
		t.Error("the node lives behind Close")
	}
	if err := n.Signal(syscall.SIGTERM); err == nil {
		t.Error("a signal reached a node that has ended")
	}
	if b, err := os.ReadFile(n.Output("out", 1)); err != nil || string(b) != "hello\n" {
		t.Errorf("output %q, %v", b, err)
	}
}

func TestProgressSeesStepsAsTheyCome(t *testing.T) {
	dir := t.TempDir()
	p := Follow(dir)
	defer p.Close()
	if _, ok := p.Beyond(0, time.Millisecond); ok {
		t.Error("a step of nothing")
	}
	path := filepath.Join(dir, "metrics.jsonl")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	f.WriteString(`{"kind":"train","step":3}` + "\n" + `{"kind":"eval","step":9}` + "\n" + `{"kind":"tra`)
	if _, ok := p.Beyond(2, time.Minute); !ok {
		t.Fatal("step 3 was not seen")
	}
	f.WriteString(`in","step":4}` + "\n")
	if _, ok := p.Beyond(3, time.Minute); !ok {
		t.Fatal("step 4 was not seen")
	}
	if step, _ := p.Last(); step != 4 {
		t.Errorf("last step %d, want 4", step)
	}
}
