// Package codec makes gradients smaller on the wire: fp16 and bf16, half the
// bytes and rounded, and packing by a mask, exact.
//
// # Promises
//
// Rounding is to nearest, ties to even, in assembly and in Go alike; NaN stays
// NaN, and what does not fit becomes an infinity (beyond 65504 in fp16, so
// scale the loss; bf16 has the range of float32). A sum is formed in float32:
// each contribution is rounded once, at its source, and the result once, by
// the rank that formed it, so that all ranks hold the same bits. That bits
// depend on the number of ranks is the price, which is why transports in
// strict order refuse a codec that is not exact.
//
// A mask that is equal on all ranks makes a dense reduction of the kept
// coordinates only, without indices: the same bits as a reduction of
// everything, at a fraction of the bytes ([Packed]).
//
// # What it leaves to others
//
// When packing pays (kept bytes saved on the link against two passes over
// memory), scaling against overflow, and error feedback.
//
// # Example
//
//	half := comm.Coded(codec.BF16)             // comm is a *tcp.Comm in fast order
//	work := half.AllReduce(collective.Float32s(grad), collective.Sum, meta)
//
//	sparse, err := codec.NewPacked(comm, mask, nil) // any transport
//	work := sparse.AllReduce(collective.Float32s(grad), collective.Sum, meta)
package codec

import (
	"fmt"

	"github.com/espalier-ml/espalier/kernels/vec"
)

// Codec turns float32 values into fewer bytes and back, each value by itself:
// the code of a run of values is the run of their codes. Its methods may be
// called from any goroutine.
type Codec interface {
	// Name is what ranks compare and errors say, 8 bytes at most.
	Name() string

	// Exact reports whether decoding gives back what was encoded, bit for bit.
	Exact() bool

	// Width is the number of bytes of an encoded value, 4 at most.
	Width() int

	// Encode stores src in dst, which must have room for it.
	Encode(dst []byte, src []float32)

	// Decode is the inverse. src must be the code of len(dst) values.
	Decode(dst []float32, src []byte) error

	// DecodeAdd adds the decoded values to acc.
	DecodeAdd(acc []float32, src []byte) error
}

// The codecs of 16 bits a value.
var (
	FP16 Codec = half{"fp16", encodeFP16, decodeFP16} // 5 bits of exponent, 10 of fraction
	BF16 Codec = half{"bf16", encodeBF16, decodeBF16} // 8 bits of exponent, 7 of fraction
)

type half struct {
	name   string
	encode func(dst []byte, src []float32)
	decode func(dst []float32, src []byte)
}

func (h half) Name() string { return h.name }
func (h half) Exact() bool  { return false }
func (h half) Width() int   { return 2 }

func (h half) Encode(dst []byte, src []float32) { h.encode(dst[:2*len(src)], src) }

func (h half) Decode(dst []float32, src []byte) error {
	if err := h.check(len(dst), len(src)); err != nil {
		return err
	}
	h.decode(dst, src)
	return nil
}

// block is how many values are decoded at a time where they are added.
const block = 1024

func (h half) DecodeAdd(acc []float32, src []byte) error {
	if err := h.check(len(acc), len(src)); err != nil {
		return err
	}
	var values [block]float32
	for len(acc) > 0 {
		n := min(block, len(acc))
		h.decode(values[:n], src[:2*n])
		vec.AddTo(acc[:n], values[:n])
		acc, src = acc[n:], src[2*n:]
	}
	return nil
}

func (h half) check(values, bytes int) error {
	if bytes != 2*values {
		return fmt.Errorf("%s: %d bytes for %d values, want %d", h.name, bytes, values, 2*values)
	}
	return nil
}
