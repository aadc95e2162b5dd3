package shm

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/espalier-ml/espalier/collective"
)

// Host is the end of a group that belongs to no rank: the process that made
// the segment, starts the ranks and sees them die. Its methods may be called
// from any goroutine.
type Host struct {
	seg segment

	mu  sync.Mutex
	ctl *control // nil when closed
	mem []byte
}

// Create makes the segment of a group.
func Create(world int, gen collective.Gen) (*Host, error) {
	seg, err := newMemfd()
	if err != nil {
		return nil, err
	}
	h, err := createIn(seg, world, gen)
	if err != nil {
		seg.close()
		return nil, err
	}
	return h, nil
}

func createIn(seg segment, world int, gen collective.Gen) (*Host, error) {
	if world < 1 || world > MaxWorld {
		return nil, fmt.Errorf("shared memory: group of %d ranks, want 1 to %d", world, MaxWorld)
	}
	size := headBytes(world)
	if err := seg.reserve(0, size); err != nil {
		return nil, err
	}
	mem, err := seg.window(0, size)
	if err != nil {
		return nil, err
	}
	h := &Host{seg: seg, ctl: controlOf(mem), mem: mem}
	h.ctl.init(world, gen)
	return h, nil
}

// File is what a rank's process inherits, see exec.Cmd.ExtraFiles.
func (h *Host) File() *os.File { return h.seg.(memfd).file }

// Abort ends the group on behalf of a rank that cannot do it itself, or of
// nobody (NoRank). All waiting ranks return at once. Only the first reason,
// of whoever it is, counts.
func (h *Host) Abort(by collective.Rank, reason string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.ctl == nil:
	case by == collective.NoRank:
		h.ctl.end(by, codeOther, reason)
	default:
		h.ctl.end(by, codeOther, reason, by)
	}
}

// Exited says that a rank's process is gone, without fault. A rank that needs
// it afterwards gets ErrAborted and ErrClosed.
func (h *Host) Exited(rank collective.Rank) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ctl != nil {
		h.ctl.close(int(rank))
	}
}

// Aborted is why the group ended, nil if it did not.
func (h *Host) Aborted() *collective.AbortError {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ctl == nil {
		return nil
	}
	return h.ctl.ended()
}

// Close gives the host's memory back. The ranks keep theirs.
func (h *Host) Close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ctl == nil {
		return nil
	}
	h.ctl = nil
	h.seg.unmap(h.mem)
	return h.seg.close()
}

// Join makes this process a rank of the group whose segment it inherited. It
// takes the file over and closes it with the Comm, or if it fails.
func Join(file *os.File, rank collective.Rank, o Options) (*Comm, error) {
	c, err := newComm(openMemfd(file), int(rank), o)
	if err != nil {
		file.Close()
		return nil, err
	}
	return c, nil
}

// NewGroup makes all ranks of a group in this process, each with mappings of
// its own, as if they were processes.
func NewGroup(world int, o Options) ([]collective.Comm, error) {
	h, err := Create(world, collective.Gen{})
	if err != nil {
		return nil, err
	}
	defer h.Close()
	return joinAll(world, o, func() (segment, error) { return h.seg.(memfd).again() })
}

// NewHeapGroup is NewGroup on the Go heap, where the race detector can watch
// the ranks at work.
func NewHeapGroup(world int, o Options) ([]collective.Comm, error) {
	seg := newHeap()
	if _, err := createIn(seg, world, collective.Gen{}); err != nil {
		return nil, err
	}
	return joinAll(world, o, func() (segment, error) { return seg, nil })
}

func joinAll(world int, o Options, open func() (segment, error)) ([]collective.Comm, error) {
	var comms []collective.Comm
	for r := range world {
		seg, err := open()
		if err == nil {
			var c *Comm
			if c, err = newComm(seg, r, o); err == nil {
				comms = append(comms, c)
				continue
			}
			seg.close()
		}
		for _, c := range comms {
			c.Close(context.Background())
		}
		return nil, err
	}
	return comms, nil
}

// spinFor chooses how long ranks poll, given the processors of all. A rank computes while its operations
// run, so that polling costs it something even on a core of its own.
func spinFor(chosen time.Duration, world, cpus int) time.Duration {
	switch {
	case chosen > 0:
		return chosen
	case chosen < 0 || world > cpus:
		return 0
	case 2*world <= cpus:
		return 100 * time.Microsecond
	}
	return 50 * time.Microsecond
}
