package cpu

import (
	"unsafe"

	"github.com/espalier-ml/espalier/kernels"
	"github.com/espalier-ml/espalier/kernels/philox"
)

// dropoutKeys are what the kernel takes from memory: 20 round keys and the
// last three words of the counter, each in 8 lanes.
type dropoutKeys [23 * 8]uint32

func newDropoutKeys(env *kernels.Env, id uint32) (keys dropoutKeys) {
	k := philox.NewKey(env.Seed, "dropout")
	var words [23]uint32
	for round := range uint32(10) {
		words[2*round] = k[0] + round*0x9E3779B9
		words[2*round+1] = k[1] + round*0xBB67AE85
	}
	words[20], words[21], words[22] = id, uint32(env.Shard), uint32(env.Step)
	for i := range keys {
		keys[i] = words[i/8]
	}
	return keys
}

func lowerDropout(l *lowering, o *kernels.Dropout) []stage {
	x, y := l.ref(o.X), l.ref(o.Y)
	kernel := dropout
	if o.Acc {
		kernel = dropoutAcc
	}
	scale := float32(1 / (1 - float64(o.P)))
	keySize := len(dropoutKeys{})
	l.local(keySize + 8)
	return []stage{elementwise("dropout", o.Y, 8, 16, func(w *worker, lo, hi int) {
		mem := w.floats(keySize + 8)
		keys := (*dropoutKeys)(unsafe.Pointer(unsafe.SliceData(mem)))
		*keys = newDropoutKeys(w.env, o.ID)
		at := func(lo, hi int) { kernel(ptr(y.f[lo:hi]), ptr(x.f[lo:hi]), &keys[0], hi-lo, lo/4, o.P, scale) }
		if head := lo % 4; head != 0 { // a counter's last elements: by way of a buffer
			n := min(hi-lo, 4-head)
			buf, out := mem[keySize:][:4], mem[keySize+4:][:4]
			copy(buf[head:], x.f[lo:lo+n])
			copy(out[head:], y.f[lo:lo+n])
			kernel(ptr(out), ptr(buf), &keys[0], head+n, lo/4, o.P, scale)
			copy(y.f[lo:lo+n], out[head:])
			lo += n
		}
		if lo < hi {
			at(lo, hi)
		}
	})}
}
