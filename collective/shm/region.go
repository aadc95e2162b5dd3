package shm

import (
	"context"
	"fmt"

	"github.com/espalier-ml/espalier/collective"
)

// region is one window with an arena for each rank.
type region struct {
	comm   *Comm
	id     uint64 // from 1
	off    int64  // of the window in the segment
	bytes  int64  // of an arena
	stride int64  // from arena to arena
	mem    []byte // the window
	arenas [][]byte
}

// maxRegion bounds a region by what the address space could map at all.
const maxRegion = 1 << 44

// stagger is the least distance between arenas beyond their size: some pages,
// because equal addresses modulo 2^28 share a way predictor entry on Zen and
// run 4 to 5 times slower, and some lines, because equal addresses modulo
// 4096 stall loads behind stores.
const stagger = 17*pageSize + 5*collective.Align

// strideFor is the distance between arenas of a size, such that no two of a
// group lie close to each other modulo 2^28.
func strideFor(bytes int64, world int) int64 {
	const period = 1 << 28
	const near = 4 * pageSize
	stride := (bytes+collective.Align-1)&^(collective.Align-1) + stagger
	for k := int64(1); k < int64(world); k++ {
		if at := k * stride % period; at < near || at > period-near {
			stride += stagger
			k = 0
		}
	}
	return stride
}

func (r *region) Len() int64          { return r.bytes }
func (r *region) Float32s() []float32 { return typed[float32](r.own()) }

func (r *region) own() []byte {
	if r.arenas == nil {
		return nil
	}
	return r.arenas[r.comm.info.Rank]
}

func (r *region) Free(ctx context.Context) error {
	call := collective.Call{Kind: collective.KindFree}
	return r.comm.issue(&call, r).Wait(ctx)
}

// Alloc implements collective.Comm.
func (c *Comm) Alloc(ctx context.Context, bytes int64) (collective.Region, error) {
	call := collective.Call{Kind: collective.KindAlloc}
	if bytes < 0 || bytes > maxRegion {
		return nil, call.Fail(c.info, fmt.Errorf("region of %d bytes", bytes))
	}
	r := &region{comm: c, bytes: bytes}
	if err := c.issue(&call, r).Wait(ctx); err != nil {
		return nil, err
	}
	return r, nil
}

// alloc runs in the order of operations, so all ranks compute the same place.
func (c *Comm) alloc(r *region) error {
	r.stride = strideFor(r.bytes, c.info.World)
	r.off = c.next
	if err := c.meet(&signature{kind: collective.KindAlloc, in: uint64(r.bytes)}); err != nil {
		return err
	}
	return c.attach(r)
}

func (c *Comm) attach(r *region) error {
	size := int64(0) // of the window
	if r.bytes > 0 {
		size = (r.stride*int64(c.info.World) + pageSize - 1) &^ (pageSize - 1)
		if err := c.seg.reserve(r.off+r.stride*int64(c.info.Rank), r.bytes); err != nil {
			return err
		}
		if err := c.seg.reserve(r.off+size-1, 1); err != nil { // the segment must reach the window's end
			return err
		}
	}
	if err := c.bar.pass(); err != nil { // nobody touches a page that is not reserved
		return err
	}
	mem, err := c.seg.window(r.off, size)
	if err != nil {
		return err
	}
	r.mem = mem
	r.arenas = make([][]byte, c.info.World)
	for k := range r.arenas {
		if size == 0 {
			break
		}
		at := r.stride * int64(k)
		r.arenas[k] = mem[at : at+r.bytes : at+r.bytes]
	}
	c.next += size
	c.regions = append(c.regions, r)
	r.id = uint64(len(c.regions))
	return nil
}

// free gives a region back. Its number is not used again.
func (c *Comm) free(r *region) error {
	if r.mem == nil {
		return nil
	}
	if err := c.meet(&signature{kind: collective.KindFree, place: r.id << placeBits}); err != nil {
		return err
	}
	// All earlier operations are complete on all ranks: nobody needs this arena.
	err := c.seg.unmap(r.mem)
	r.mem, r.arenas = nil, nil
	c.regions[r.id-1] = nil
	if e := c.seg.discard(r.off+r.stride*int64(c.info.Rank), r.bytes); err == nil {
		err = e
	}
	return err
}

// A place is a region's number and an offset in its arenas.
const placeBits = 48

// placeOf finds a buffer in this rank's arenas, 0 if it lies outside.
func (c *Comm) placeOf(b *collective.Buf) uint64 {
	for _, r := range c.regions {
		if r == nil {
			continue
		}
		if off := offsetIn(r.own(), b); off >= 0 {
			return r.id<<placeBits | uint64(off)
		}
	}
	return 0
}

// at is n bytes of a rank's memory at a place.
func (c *Comm) at(place uint64, rank, n int) []byte {
	off := int(place & (1<<placeBits - 1))
	return c.regions[place>>placeBits-1].arenas[rank][off : off+n]
}
