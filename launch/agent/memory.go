package agent

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// memory is where the first worker of a node keeps the state of the run: two
// files without a name that the agent and all workers hold open, used in turn,
// so that a worker may die at any moment of writing one. Each is a head, which
// is written last, and the state from bodyAt on.
//
//	 0 u64 number: the higher is the newer, 0 for none
//	 8 u64 bytes of the state
//	16     SHA-256 of the 16 bytes above and the state
//
// A process that uses them holds a lock on the first; the end of the process
// gives it back.
type memory struct {
	halves [2]half
}

type half struct {
	file *os.File
	mem  []byte // all of the file, nil while it is empty
}

const (
	headBytes = 48
	bodyAt    = 4096
)

// errBusy: another worker reads or writes the state.
var errBusy = errors.New("the memory for the state is in use by another worker")

// newMemory makes the files.
func newMemory() (*memory, error) {
	m := new(memory)
	for i := range m.halves {
		fd, err := unix.MemfdCreate("espalier-state", unix.MFD_CLOEXEC)
		if err != nil {
			m.close()
			return nil, fmt.Errorf("memory for the state: %w", err)
		}
		m.halves[i].file = os.NewFile(uintptr(fd), "espalier-state")
	}
	return m, nil
}

// inherit takes over the files that an agent handed to this process.
func inherit(first string) (*memory, error) {
	fd, err := strconv.Atoi(first)
	if err != nil || fd < 0 {
		return nil, fmt.Errorf("environment variable %s is %q, want a number: was this process started by an agent?", envMemory, first)
	}
	m := new(memory)
	for i := range m.halves {
		syscall.CloseOnExec(fd + i)
		m.halves[i].file = os.NewFile(uintptr(fd+i), "espalier-state")
	}
	return m, nil
}

func (m *memory) files() []*os.File { return []*os.File{m.halves[0].file, m.halves[1].file} }

// lock keeps other processes out, or fails if one is in and wait is false.
func (m *memory) lock(kind int16, wait bool) error {
	how := unix.F_SETLK
	if wait {
		how = unix.F_SETLKW
	}
	for {
		err := unix.FcntlFlock(m.halves[0].file.Fd(), how, &unix.Flock_t{Type: kind, Whence: io.SeekStart})
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EAGAIN, err == unix.EACCES:
			return errBusy
		case err != nil:
			return fmt.Errorf("lock the memory for the state: %w", err)
		}
		return nil
	}
}

func (m *memory) unlock() { m.lock(unix.F_UNLCK, false) }

// Load implements trainer.Memory.
func (m *memory) Load() ([]byte, error) {
	if err := m.lock(unix.F_RDLCK, true); err != nil {
		return nil, err
	}
	defer m.unlock()
	var newest []byte
	var number uint64
	for i := range m.halves {
		h := &m.halves[i]
		if err := h.follow(); err != nil {
			return nil, err
		}
		if n, body := h.read(); n > number {
			newest, number = body, n
		}
	}
	return bytes.Clone(newest), nil
}

// Keep implements trainer.Memory.
func (m *memory) Keep(pack func(memory []byte) ([]byte, error)) error {
	if err := m.lock(unix.F_WRLCK, false); err != nil {
		return err
	}
	defer m.unlock()
	for i := range m.halves {
		if err := m.halves[i].follow(); err != nil {
			return err
		}
	}
	older, newer := &m.halves[0], &m.halves[1]
	if older.number() > newer.number() {
		older, newer = newer, older
	}
	return older.write(newer.number()+1, pack)
}

func (h *half) write(number uint64, pack func(memory []byte) ([]byte, error)) error {
	var room []byte
	if h.mem != nil {
		clear(h.mem[:headBytes])
		room = h.mem[bodyAt:]
	}
	b, err := pack(room)
	if err != nil {
		return err
	}
	if h.mem == nil || len(b) > len(room) {
		if err := h.grow(len(b)); err != nil {
			return err
		}
	}
	if room = h.mem[bodyAt:]; len(b) > 0 && &b[0] != &room[0] {
		copy(room, b)
	}
	head := h.mem[:headBytes]
	binary.LittleEndian.PutUint64(head[8:], uint64(len(b)))
	copy(head[16:], h.sum(number, len(b)))
	binary.LittleEndian.PutUint64(head, number)
	return nil
}

// number is that of the state, without a look at the state.
func (h *half) number() uint64 {
	if h.mem == nil {
		return 0
	}
	return binary.LittleEndian.Uint64(h.mem)
}

// read returns the state, or 0 if there is none that is whole.
func (h *half) read() (number uint64, body []byte) {
	number = h.number()
	if number == 0 {
		return 0, nil
	}
	n := binary.LittleEndian.Uint64(h.mem[8:])
	if n > uint64(len(h.mem)-bodyAt) || !bytes.Equal(h.sum(number, int(n)), h.mem[16:headBytes]) {
		return 0, nil
	}
	return number, h.mem[bodyAt:][:n]
}

func (h *half) sum(number uint64, n int) []byte {
	le := binary.LittleEndian
	d := sha256.New()
	d.Write(le.AppendUint64(le.AppendUint64(nil, number), uint64(n)))
	d.Write(h.mem[bodyAt:][:n])
	return d.Sum(nil)
}

// grow makes room for a state of n bytes. The machine may not have it.
func (h *half) grow(n int) error {
	size := int64(bodyAt + max(1, (n+bodyAt-1)/bodyAt)*bodyAt)
	if err := unix.Fallocate(int(h.file.Fd()), 0, 0, size); err != nil {
		return fmt.Errorf("memory for a state of %d bytes: %w", n, err)
	}
	return h.follow()
}

// follow maps the file anew if it has grown, perhaps by another process.
func (h *half) follow() error {
	info, err := h.file.Stat()
	if err != nil {
		return fmt.Errorf("memory for the state: %w", err)
	}
	if info.Size() == int64(len(h.mem)) {
		return nil
	}
	h.unmap()
	if h.mem, err = unix.Mmap(int(h.file.Fd()), 0, int(info.Size()), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err != nil {
		h.mem = nil
		return fmt.Errorf("memory for the state: %w", err)
	}
	return nil
}

func (h *half) unmap() {
	if h.mem != nil {
		unix.Munmap(h.mem)
		h.mem = nil
	}
}

func (m *memory) close() {
	for i := range m.halves {
		m.halves[i].unmap()
		if m.halves[i].file != nil {
			m.halves[i].file.Close()
		}
	}
}
