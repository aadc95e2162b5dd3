package collective

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
)

// Align is the alignment in bytes of every parameter in a layout: a cache
// line, and the widest vector load.
const Align = 64

// ParamSize is a parameter as the reduction sees it.
type ParamSize struct {
	Name  string
	Elems int // number of float32 values
}

// Bucket is a contiguous range of a gradient arena that is reduced as one.
type Bucket struct {
	Off, Bytes  int64 // in bytes; Off is a multiple of Align, Bytes of 4
	First, Last int   // its parameters, [First, Last) of the given order
}

// Floats is the bucket as a range of float32 elements of the arena.
func (b Bucket) Floats() (lo, hi int) { return int(b.Off / 4), int((b.Off + b.Bytes) / 4) }

// Layout places parameters in one arena and cuts it into buckets.
type Layout struct {
	Params  []ParamSize
	Offsets []int64 // of each parameter, in bytes, multiples of Align
	Buckets []Bucket
	Bytes   int64  // size of the arena, a multiple of Align
	Digest  Digest // of all of the above
}

// Floats is parameter i as a range of float32 elements of the arena.
func (l Layout) Floats(i int) (lo, hi int) {
	lo = int(l.Offsets[i] / 4)
	return lo, lo + l.Params[i].Elems
}

// BucketOf is the bucket that parameter i lies in.
func (l Layout) BucketOf(i int) int {
	lo, hi := 0, len(l.Buckets)
	for hi-lo > 1 {
		if mid := (lo + hi) / 2; l.Buckets[mid].First <= i {
			lo = mid
		} else {
			hi = mid
		}
	}
	return lo
}

// BuildLayout lays parameters out in the order given, which should be the
// order in which the backward pass finishes them, so that each bucket is
// complete as early as possible. A bucket takes parameters while it stays
// within limit bytes; one larger than the limit has a bucket of its own. The
// first bucket stays within first bytes, to start communication early.
// Typical values are 25 MiB and 1 MiB between machines, less within one.
//
// It is a pure function: equal arguments give equal layouts on every rank.
// The padding between parameters is part of the buckets and must be zero.
func BuildLayout(params []ParamSize, limit, first int64) (Layout, error) {
	if limit <= 0 || first <= 0 {
		return Layout{}, fmt.Errorf("bucket layout: limits of %d and %d bytes, want more than 0", limit, first)
	}
	l := Layout{Params: append([]ParamSize(nil), params...), Offsets: make([]int64, len(params))}
	seen := make(map[string]bool, len(params))
	for i, p := range params {
		if p.Elems <= 0 || int64(p.Elems) > (math.MaxInt64/2-l.Bytes)/4 {
			return Layout{}, fmt.Errorf("bucket layout: parameter %q has %d elements", p.Name, p.Elems)
		}
		if seen[p.Name] {
			return Layout{}, fmt.Errorf("bucket layout: two parameters named %q", p.Name)
		}
		seen[p.Name] = true
		l.place(i, int64(p.Elems)*4, limit, first)
	}
	l.Digest = l.digest()
	return l, nil
}

// place appends parameter i, opening a new bucket if the last one is full.
func (l *Layout) place(i int, size, limit, first int64) {
	off := l.Bytes
	l.Offsets[i] = off
	l.Bytes = (off + size + Align - 1) &^ (Align - 1)
	if len(l.Buckets) == 1 {
		limit = min(limit, first)
	}
	if n := len(l.Buckets); n > 0 {
		if b := &l.Buckets[n-1]; off+size-b.Off <= limit {
			b.Bytes, b.Last = off+size-b.Off, i+1
			return
		}
	}
	l.Buckets = append(l.Buckets, Bucket{Off: off, Bytes: size, First: i, Last: i + 1})
}

func (l *Layout) digest() Digest {
	var b []byte
	u := func(v int64) { b = binary.LittleEndian.AppendUint64(b, uint64(v)) }
	u(int64(len(l.Params)))
	for i, p := range l.Params {
		u(int64(len(p.Name)))
		b = append(b, p.Name...)
		u(int64(p.Elems))
		u(l.Offsets[i])
	}
	for _, k := range l.Buckets {
		u(k.Off)
		u(k.Bytes)
	}
	return sha256.Sum256(b)
}
