package tcp

import "encoding/binary"

// Reframe makes a frame one of another generation, valid in itself.
func Reframe(b []byte, gen uint32) {
	le := binary.LittleEndian
	id := identity{group: le.Uint32(b[4:]), gen: le.Uint32(b[8:])}
	h, sum, err := id.parse(b, len(b))
	if err != nil {
		panic(err)
	}
	id.gen = gen
	id.put(b, &h, sum)
}
