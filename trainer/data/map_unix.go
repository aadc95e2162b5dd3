//go:build linux || darwin || freebsd || netbsd || openbsd

package data

import (
	"fmt"
	"os"
	"syscall"
	"time"
)

// mapFile maps a file of exactly size bytes for reading. The mapping lasts as
// long as the process: slices of it may be anywhere.
func mapFile(path string, size int) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() != int64(size) {
		return nil, fmt.Errorf("%s: %d bytes, want %d", path, info.Size(), size)
	}
	b, err := syscall.Mmap(int(f.Fd()), 0, size, syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map %s: %w", path, err)
	}
	return b, nil
}

// unmapFile drops a mapping that nothing refers to.
func unmapFile(b []byte) { syscall.Munmap(b) }

// lock takes an advisory lock that the system drops when the holder dies. When
// it is not to be had in time the caller goes on without: two processes then
// do the same work, and the last rename wins.
func lock(path string, patience time.Duration) (unlock func()) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return func() {}
	}
	for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { f.Close() }
		}
		if (err != syscall.EWOULDBLOCK && err != syscall.EINTR) || time.Now().After(end) {
			f.Close()
			return func() {}
		}
	}
}
