package tcp

import (
	"fmt"
	"hash/crc32"
	"testing"
)

// Every length around the blocks, at every alignment, against the library.
func TestChecksum(t *testing.T) {
	data := make([]byte, 4096+64)
	x := uint32(1)
	for i := range data {
		x = x*1664525 + 1013904223
		data[i] = byte(x >> 24)
	}
	for n := 0; n <= 4096; n += 1 + n/16 {
		for off := 0; off < 64; off += 7 {
			b := data[off : off+n]
			if got, want := checksum(b), crc32.Checksum(b, castagnoli); got != want {
				t.Fatalf("%d bytes at %d: %08x, want %08x", n, off, got, want)
			}
			if got := extend(checksum(b[:n/3]), b[n/3:]); got != checksum(b) {
				t.Fatalf("%d bytes at %d in two pieces: %08x, want %08x", n, off, got, checksum(b))
			}
		}
	}
}

func BenchmarkChecksum(b *testing.B) {
	for _, n := range []int{1 << 10, 64 << 10, 256 << 10, 16 << 20} {
		data := make([]byte, n)
		for name, f := range map[string]func([]byte) uint32{"fold": checksum, "library": func(d []byte) uint32 { return crc32.Update(0, castagnoli, d) }} {
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) {
				b.SetBytes(int64(n))
				for b.Loop() {
					f(data)
				}
			})
		}
	}
}
