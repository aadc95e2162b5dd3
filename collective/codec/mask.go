package codec

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/bits"

	"github.com/espalier-ml/espalier/collective"
)

// Mask says which elements of a buffer are kept. It never changes.
type Mask struct {
	n, kept int
	words   []uint64 // bit i%64 of words[i/64]
	digest  collective.Digest
}

// NewMask asks keep about every element of a buffer of n.
func NewMask(n int, keep func(i int) bool) *Mask {
	m := &Mask{n: n, words: make([]uint64, (n+63)/64)}
	for i := range n {
		if keep(i) {
			m.words[i/64] |= 1 << (i % 64)
			m.kept++
		}
	}
	h := sha256.New()
	binary.Write(h, binary.LittleEndian, uint64(n))
	binary.Write(h, binary.LittleEndian, m.words)
	h.Sum(m.digest[:0])
	return m
}

// Len is the number of elements, Kept that of those that are kept.
func (m *Mask) Len() int { return m.n }

// Kept is the number of elements that are kept.
func (m *Mask) Kept() int { return m.kept }

// Digest is the same for equal masks only.
func (m *Mask) Digest() collective.Digest { return m.digest }

// Pack stores the kept elements of src, Len of them, at the front of dst,
// which must have room for Kept.
func (m *Mask) Pack(dst, src []float32) {
	m.check(len(dst), len(src))
	k := 0
	for w, word := range m.words {
		if word == ^uint64(0) {
			k += copy(dst[k:], src[64*w:64*w+64])
			continue
		}
		for base := 64 * w; word != 0; word &= word - 1 {
			dst[k] = src[base+bits.TrailingZeros64(word)]
			k++
		}
	}
}

// Unpack is the inverse. Elements that are not kept become 0.
func (m *Mask) Unpack(dst, src []float32) {
	m.check(len(src), len(dst))
	k := 0
	for w, word := range m.words {
		part := dst[64*w : min(64*w+64, len(dst))]
		if word == ^uint64(0) {
			k += copy(part, src[k:])
			continue
		}
		clear(part)
		for ; word != 0; word &= word - 1 {
			part[bits.TrailingZeros64(word)] = src[k]
			k++
		}
	}
}

func (m *Mask) check(packed, all int) {
	if packed < m.kept || all != m.n {
		panic(fmt.Sprintf("codec: mask that keeps %d of %d between buffers of %d and %d", m.kept, m.n, packed, all))
	}
}
