package control_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/espalier-ml/espalier/cluster/control"
	"github.com/espalier-ml/espalier/cluster/control/storetest"
	"github.com/espalier-ml/espalier/cluster/secure"
)

// TestServerWhoseDiskWasFull stores again when there is room, with what it
// had, for its own node and for others.
func TestServerWhoseDiskWasFull(t *testing.T) {
	disk := t.TempDir()
	if err := syscall.Mount("full", disk, "tmpfs", 0, "size=16m"); err != nil {
		t.Skipf("a file system of its own: %v", err)
	}
	defer syscall.Unmount(disk, syscall.MNT_DETACH)
	r := newRun(t)
	papers := issue(t, r, secure.Control, "node-0")
	s, err := control.StartServer(control.ServerConfig{Run: "fig", Node: "node-0", Dir: filepath.Join(disk, "store"), Listen: "127.0.0.1:0", Credentials: papers})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	own := connect(t, control.Config{Run: "fig", Node: "node-0", Server: s, Credentials: papers})
	other := connect(t, control.Config{Run: "fig", Node: "node-1", Addrs: []string{s.Addr()}, Credentials: issue(t, r, secure.Agent, "node-1")})
	rev, err := own.Create(soon(t), "gen", []byte("kept"))
	if err != nil {
		t.Fatal(err)
	}
	ballast := filepath.Join(disk, "ballast")
	f, err := os.Create(ballast)
	for chunk := bytes.Repeat([]byte{1}, 4<<10); err == nil; {
		_, err = f.Write(chunk)
	}
	f.Close()
	for err = nil; err == nil; { // what is open has room for a few more
		err = own.Probe(soon(t))
	}
	os.Remove(ballast)

	// It must succeed in the end; until then there are only errors.
	again := func(write func(ctx context.Context) error) {
		t.Helper()
		ctx := soon(t)
		for err := write(ctx); err != nil; err = write(ctx) {
			if ctx.Err() != nil {
				t.Fatalf("the store is not back: %v", err)
			}
		}
	}
	again(own.Probe)
	again(other.Probe)
	storetest.Await(soon(t), t, other, "gen", "kept")
	if rev, err = other.Update(soon(t), "gen", []byte("newer"), rev); err != nil || rev == 0 {
		t.Errorf("update after the disk was full: revision %d, %v", rev, err)
	}
}
