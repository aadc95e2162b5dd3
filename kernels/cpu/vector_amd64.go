package cpu

import (
	"unsafe"

	"github.com/espalier-ml/espalier/kernels"
)

//go:generate go run ./gen/vector .

// This file holds what the families of streaming kernels (norm, point, loss,
// optim) share: pointers for the assembly, tiles of repeated coefficients, and
// the choice between batch and private stages.

// ptr is what the assembly takes for a slice; the caller sees to its length.
func ptr(s []float32) *float32 { return unsafe.SliceData(s) }

// wide sees pairs of floats of 8-byte aligned memory as float64.
func wide(s []float32) []float64 {
	return unsafe.Slice((*float64)(unsafe.Pointer(unsafe.SliceData(s))), len(s)/2)
}

func ptr64(s []float64) *float64 { return unsafe.SliceData(s) }

// tileWidth is the number of floats, at least `least`, to which a pattern of n
// is repeated: whole vectors where that costs little.
func tileWidth(n, least int) int {
	w := n
	if n <= 64 {
		for w%8 != 0 {
			w += n
		}
	}
	return (max(least, 1) + w - 1) / w * w
}

// repeat fills dst with copies of pattern.
func repeat(dst, pattern []float32) {
	for len(dst) > 0 {
		dst = dst[copy(dst, pattern):]
	}
}

// perImage is the number of elements of one index of t's leading axis.
func perImage(t *kernels.Tensor) int { return t.Len() / max(1, t.Shape[0]) }

// fewImages is the size of a leading axis below which an elementwise op is cut
// by size instead: too few parts to share among threads.
const fewImages = 4

// partElems is the number of elements for which another part of a private
// elementwise stage pays.
const partElems = 16 << 10

// elementwise is a stage in which element i of every operand of t's size
// depends on nothing else. bytes are touched for one element. A part begins at
// a multiple of unit elements, which must divide perImage(t).
func elementwise(name string, t *kernels.Tensor, bytes, unit int, f func(w *worker, lo, hi int)) stage {
	if per := perImage(t); len(t.Shape) > 1 && t.Shape[0] >= fewImages {
		return stage{name: name, images: t.Shape[0], bytes: bytes * per,
			batch: func(w *worker, _, lo, hi int) { f(w, lo*per, hi*per) }}
	}
	return bySize(name, t.Len(), unit, f)
}

// bySize is a private stage over n elements, cut at multiples of unit.
func bySize(name string, n, unit int, f func(w *worker, lo, hi int)) stage {
	blocks := (n + unit - 1) / unit
	parts := max(1, min(blocks, 64, n/partElems))
	return stage{name: name, parts: parts, run: func(w *worker, p int) {
		f(w, p*blocks/parts*unit, min(n, (p+1)*blocks/parts*unit))
	}}
}

// whole returns an empty private stage that reads t and writes the returned
// scratch tensor. A batch stage that reads all of t, not only its slices, must
// read the scratch tensor too, so that it never runs interleaved with the
// stage that writes t.
func (l *lowering) whole(ts ...*kernels.Tensor) (stage, *kernels.Tensor) {
	done := l.temp("whole", 1)
	return stage{name: "whole", reads: ts, writes: []*kernels.Tensor{done}, run: func(*worker, int) {}}, done
}

// given lists the operands that are not nil.
func given(ts ...*kernels.Tensor) []*kernels.Tensor {
	var out []*kernels.Tensor
	for _, t := range ts {
		if t != nil {
			out = append(out, t)
		}
	}
	return out
}
