package shm

import (
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// segment is memory that all ranks see. Offsets are the same for all, the
// addresses of windows need not be.
type segment interface {
	// reserve makes sure that [off, off+n) has memory behind it, so that
	// touching it later cannot fail.
	reserve(off, n int64) error
	// window maps [off, off+n). off is a multiple of the page size.
	window(off, n int64) ([]byte, error)
	// unmap ends the use of a window by this rank.
	unmap(w []byte) error
	// discard gives the memory of [off, off+n) back and makes it zero.
	discard(off, n int64) error
	close() error
}

const pageSize = 4096

// memfd is a segment in an anonymous file, inherited by file descriptor.
type memfd struct{ file *os.File }

func newMemfd() (memfd, error) {
	fd, err := unix.MemfdCreate("espalier", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return memfd{}, fmt.Errorf("shared memory: memfd_create: %w", err)
	}
	// A file that cannot shrink cannot take mapped pages away (SIGBUS).
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_SHRINK); err != nil {
		unix.Close(fd)
		return memfd{}, fmt.Errorf("shared memory: seal against shrinking: %w", err)
	}
	return memfd{os.NewFile(uintptr(fd), "espalier-group")}, nil
}

// again is another descriptor of the same memory.
func (m memfd) again() (memfd, error) {
	fd, err := unix.FcntlInt(m.file.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return memfd{}, fmt.Errorf("shared memory: %w", err)
	}
	return memfd{os.NewFile(uintptr(fd), m.file.Name())}, nil
}

// openMemfd takes over an inherited segment.
func openMemfd(file *os.File) memfd {
	unix.CloseOnExec(int(file.Fd()))
	return memfd{file}
}

func (m memfd) reserve(off, n int64) error {
	if n == 0 {
		return nil
	}
	if err := unix.Fallocate(int(m.file.Fd()), 0, off, n); err != nil {
		return fmt.Errorf("shared memory: reserve %d bytes: %w", n, err)
	}
	return nil
}

func (m memfd) window(off, n int64) ([]byte, error) {
	if n == 0 {
		return nil, nil
	}
	info, err := m.file.Stat()
	if err != nil {
		return nil, fmt.Errorf("shared memory: %w", err)
	}
	if info.Size() < off+n { // touching a page beyond the end is fatal
		return nil, fmt.Errorf("shared memory: segment of %d bytes, want at least %d", info.Size(), off+n)
	}
	w, err := unix.Mmap(int(m.file.Fd()), off, int(n), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
	if err != nil {
		return nil, fmt.Errorf("shared memory: map %d bytes: %w", n, err)
	}
	return w, nil
}

func (m memfd) unmap(w []byte) error {
	if w == nil {
		return nil
	}
	return unix.Munmap(w)
}

func (m memfd) discard(off, n int64) error {
	if n == 0 {
		return nil
	}
	return unix.Fallocate(int(m.file.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, off, n)
}

func (m memfd) close() error { return m.file.Close() }

// heap is a segment on the Go heap for ranks within one process. Unlike
// mapped memory it is watched by the race detector.
type heap struct {
	mu      sync.Mutex
	windows map[int64][]byte
}

func newHeap() *heap { return &heap{windows: map[int64][]byte{}} }

func (h *heap) reserve(off, n int64) error { return nil }

func (h *heap) window(off, n int64) ([]byte, error) {
	if n == 0 {
		return nil, nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.windows[off] == nil {
		// The Go heap aligns blocks above 32 KiB to pages.
		h.windows[off] = make([]byte, max(n, 64<<10))
	}
	return h.windows[off][:n:n], nil
}

func (h *heap) unmap([]byte) error { return nil }

func (h *heap) discard(off, n int64) error { return nil }

func (h *heap) close() error { return nil }
