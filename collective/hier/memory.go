package hier

import (
	"context"
	"fmt"

	"github.com/espalier-ml/espalier/collective"
	"github.com/espalier-ml/espalier/kernels/vec"
)

// raw is a buffer's memory.
func raw(b *collective.Buf) []byte {
	switch b.Type() {
	case collective.Float32:
		return vec.Bytes(b.Float32s())
	case collective.Float64:
		return vec.Bytes(b.Float64s())
	case collective.Int64:
		return vec.Bytes(b.Int64s())
	}
	return b.Bytes()
}

// typed is memory as a buffer.
func typed(t collective.DType, mem []byte) collective.Buf {
	switch t {
	case collective.Float32:
		return collective.Float32s(vec.Of[float32](mem))
	case collective.Float64:
		return collective.Float64s(vec.Of[float64](mem))
	case collective.Int64:
		return collective.Int64s(vec.Of[int64](mem))
	}
	return collective.Bytes(mem)
}

// scratch is n bytes to use within an operation.
func (c *Comm) scratch(n int) []byte {
	if len(c.room) < n {
		c.room = make([]byte, n)
	}
	return c.room[:n]
}

// region is memory of the transport within the host, where it reduces in
// place.
type region struct {
	comm  *Comm
	id    uint64 // from 1, equal on all ranks
	bytes int64
	inner collective.Region
}

// Alloc implements collective.Comm.
func (c *Comm) Alloc(ctx context.Context, bytes int64) (collective.Region, error) {
	call := collective.Call{Kind: collective.KindAlloc}
	if bytes < 0 {
		return nil, call.Fail(c.info, fmt.Errorf("region of %d bytes", bytes))
	}
	r := &region{comm: c, bytes: bytes}
	if err := c.issue(&call, r).Wait(ctx); err != nil {
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

// Len implements collective.Region.
func (r *region) Len() int64 { return r.bytes }

// Float32s implements collective.Region.
func (r *region) Float32s() []float32 { return r.inner.Float32s() }

// Free implements collective.Region.
func (r *region) Free(ctx context.Context) error {
	call := collective.Call{Kind: collective.KindFree}
	return r.comm.issue(&call, r).Wait(ctx)
}
