package tcp

import (
	"hash/crc32"

	"golang.org/x/sys/cpu"
)

var hasFold = cpu.X86.HasAVX512F && cpu.X86.HasAVX512VPCLMULQDQ && cpu.X86.HasSSE42

//go:noescape
func foldCRC(p *byte, n int, state uint32) uint32

// extend adds bytes to a CRC-32C. Many are folded 256 at a time, several
// times as fast as the instruction for it.
func extend(crc uint32, body []byte) uint32 {
	if n := len(body) &^ 255; hasFold && n > 0 {
		crc = ^foldCRC(&body[0], n, ^crc)
		body = body[n:]
	}
	return crc32.Update(crc, castagnoli, body)
}
