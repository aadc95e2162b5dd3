package tcp

import (
	"context"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/espalier-ml/espalier/collective"
	"github.com/espalier-ml/espalier/kernels/vec"
)

// region is memory of this rank. Other ranks have theirs.
type region struct {
	comm  *Comm
	id    uint64 // from 1, equal on all ranks
	bytes int64
	mem   []byte // guarded by Comm.mu; nil when released
}

const maxRegion = 1 << 44

// Alloc implements collective.Comm. The memory is the process's own, in whole
// pages, outside the Go heap. A rank that has not enough of it ends the group.
func (c *Comm) Alloc(ctx context.Context, bytes int64) (collective.Region, error) {
	call := collective.Call{Kind: collective.KindAlloc}
	if bytes < 0 || bytes > maxRegion {
		return nil, call.Fail(c.info, fmt.Errorf("region of %d bytes, want 0 to %d", bytes, int64(maxRegion)))
	}
	r := &region{comm: c, bytes: bytes}
	if err := c.enqueue(&call, r, nil).Wait(ctx); err != nil {
		return nil, err
	}
	return r, nil
}

// tell is what the ranks compare of an alloc or free.
func (r *region) tell(k collective.Kind) uint64 {
	if k == collective.KindAlloc {
		return uint64(r.bytes)
	}
	return r.id
}

// attach makes the memory and gives the region its number, in the order of
// operations.
func (r *region) attach() error {
	var mem []byte
	if r.bytes > 0 {
		var err error
		if mem, err = unix.Mmap(-1, 0, int(r.bytes), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE); err != nil {
			return fmt.Errorf("region of %d bytes: %w", r.bytes, err)
		}
	}
	r.comm.mu.Lock()
	defer r.comm.mu.Unlock()
	r.mem = mem
	r.comm.regions = append(r.comm.regions, r)
	r.id = uint64(len(r.comm.regions))
	return nil
}

// detach gives the memory back. All operations before are complete.
func (r *region) detach() {
	r.comm.mu.Lock()
	defer r.comm.mu.Unlock()
	r.release()
	if int(r.id) <= len(r.comm.regions) {
		r.comm.regions[r.id-1] = nil
	}
}

// release is detach for a region that is struck off elsewhere. Comm.mu is
// held.
func (r *region) release() {
	if r.mem != nil {
		unix.Munmap(r.mem)
		r.mem = nil
	}
}

// Len implements collective.Region.
func (r *region) Len() int64 { return r.bytes }

// Float32s implements collective.Region.
func (r *region) Float32s() []float32 {
	r.comm.mu.Lock()
	defer r.comm.mu.Unlock()
	return vec.Of[float32](r.mem)
}

// Free implements collective.Region.
func (r *region) Free(ctx context.Context) error {
	call := collective.Call{Kind: collective.KindFree}
	return r.comm.enqueue(&call, r, nil).Wait(ctx)
}
