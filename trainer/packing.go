package trainer

import (
	"fmt"

	"github.com/espalier-ml/espalier/trainer/graph"
)

// packing leaves entries out of the sums over ranks whose gradients are zero
// on every rank. What is sent of a bucket stands at the front of the bucket's
// own part of the arena, without padding, and is summed as before, along the
// same tree; when the sum has come back it goes to its places again, and what
// was left out is +0.
type packing struct {
	buckets []packed
	floats  int // sent in a step
}

// packed is one bucket.
type packed struct {
	parts []part
	n     int // elements sent
}

// part is one gradient of a bucket: elements [lo, hi) of the arena. index
// lists the entries that are sent, relative to lo and rising; nil means all.
type part struct {
	lo, hi int
	index  []uint32
}

// Pack ends the sending of gradients that are zero on every rank: kept has an
// element for each entry of a parameter, nil when all are sent. It holds until
// the network is traced anew; call it at Boundary, alike on all ranks.
func (r *Run) Pack(kept func(p *graph.Param) []bool) error {
	g := r.net.grads
	params := map[string]*graph.Param{}
	for _, p := range r.net.graph.Params() {
		params[p.Name] = p
	}
	pk := &packing{buckets: make([]packed, len(g.layout.Buckets))}
	for i, x := range g.layout.Params {
		lo, hi := g.layout.Floats(i)
		at := part{lo: lo, hi: hi}
		n := hi - lo
		if p := params[x.Name]; p != nil {
			if k := kept(p); k != nil {
				if len(k) != n {
					return fmt.Errorf("pack the gradient of %s: %d entries, want %d", p.Name, len(k), n)
				}
				at.index = indices(k)
				n = len(at.index)
			}
		}
		b := &pk.buckets[g.layout.BucketOf(i)]
		b.parts = append(b.parts, at)
		b.n += n
		pk.floats += n
	}
	g.pack(pk)
	return nil
}

// Packed reports whether Pack holds.
func (r *Run) Packed() bool { return r.net.grads.packing != nil }

// GradientBytes is what a rank hands to the transport in a step, and what it
// would without Pack.
func (r *Run) GradientBytes() (sent, dense int64) {
	g := r.net.grads
	for _, b := range g.layout.Params {
		dense += 4 * int64(b.Elems)
	}
	if g.packing == nil {
		return dense, dense
	}
	return 4 * int64(g.packing.floats), dense
}

func indices(keep []bool) []uint32 {
	n := 0
	for _, k := range keep {
		if k {
			n++
		}
	}
	index := make([]uint32, 0, n)
	for i, k := range keep {
		if k {
			index = append(index, uint32(i))
		}
	}
	return index
}

// collect writes what is sent of a bucket to dst[lo:], lo its start, from
// src, which may be dst: places only move forward.
func (b packed) collect(dst, src []float32) {
	if len(b.parts) == 0 {
		return
	}
	to := b.parts[0].lo
	for _, p := range b.parts {
		if p.index == nil {
			to += copy(dst[to:], src[p.lo:p.hi])
			continue
		}
		from := src[p.lo:p.hi]
		for _, i := range p.index {
			dst[to] = from[i]
			to++
		}
	}
}

// spread is the inverse of collect, from the last place to the first; what
// was left out becomes zero.
func (b packed) spread(dst, src []float32) {
	if len(b.parts) == 0 {
		return
	}
	end := b.parts[0].lo + b.n
	for k := len(b.parts) - 1; k >= 0; k-- {
		p := b.parts[k]
		to := dst[p.lo:p.hi]
		if p.index == nil {
			copy(to, src[end-len(to):end])
			end -= len(to)
			continue
		}
		next := len(to)
		for j := len(p.index) - 1; j >= 0; j-- {
			i := int(p.index[j])
			end--
			v := src[end]
			clear(to[i+1 : next])
			to[i], next = v, i
		}
		clear(to[:next])
	}
}
