package main

import (
	"os"
	"path/filepath"
	"syscall"
)

// room is the size of a node's file system.
const room = 64 << 20

// mount gives a node a small file system of its own for its run folder, so
// that it can be filled. Without the privilege the folder is an ordinary one.
func mount(dir string) (unmount func()) {
	if os.MkdirAll(dir, 0o755) != nil || syscall.Mount("chaos", dir, "tmpfs", 0, "size=64m") != nil {
		return func() {}
	}
	return func() { syscall.Unmount(dir, syscall.MNT_DETACH) }
}

// fill leaves no room in a folder that has a file system of its own, until the
// returned function is called.
func fill(dir string) (free func()) {
	var fs syscall.Statfs_t
	if syscall.Statfs(dir, &fs) != nil || fs.Blocks*uint64(fs.Bsize) > room {
		return func() {} // not ours
	}
	path := filepath.Join(dir, "ballast")
	f, err := os.Create(path)
	if err != nil {
		return func() {}
	}
	block := make([]byte, 1<<20)
	for err == nil {
		_, err = f.Write(block)
	}
	f.Close()
	return func() { os.Remove(path) }
}
