package lowbit

import "fmt"

// The layout of codes in memory and in files. A block of 32 bytes holds
// E = 256/p consecutive codes of a row: code 32f+j stands in byte j, bits
// [pf, pf+p), so that the codes 32f … 32f+31 are one shift and one mask away
// from a vector of bytes. The blocks of four rows stand side by side. Codes
// behind the end of a row are 0, which adds nothing to a sum of codes; rows
// are padded to a multiple of four.

const (
	blockBytes = 32
	tileRows   = 4
)

// PackedBytes is the size of n rows of k codes.
func PackedBytes(bits, n, k int) int {
	return (n + tileRows - 1) / tileRows * tileRows * Padded(bits, k) * bits / 8
}

// place is where code k of row n stands: byte and shift.
func place(bits, blocks, n, k int) (at, shift int) {
	e := Elements(bits)
	b, r := k/e, k%e
	return ((n/tileRows)*blocks+b)*tileRows*blockBytes + n%tileRows*blockBytes + r%blockBytes, r / blockBytes * bits
}

// Pack packs u [n][k], codes below 2^bits; at 8 bits signed codes as bytes.
func Pack(bits, n, k int, u []byte) []byte {
	out := make([]byte, PackedBytes(bits, n, k))
	blocks := Padded(bits, k) / Elements(bits)
	for r := range n {
		for c := range k {
			at, shift := place(bits, blocks, r, c)
			out[at] |= u[r*k+c] << shift
		}
	}
	return out
}

// Unpack is the reverse of Pack. It refuses packed bytes of another size and
// padding that is not zero.
func Unpack(bits, n, k int, packed []byte) ([]byte, error) {
	if err := CheckWidth(bits); err != nil {
		return nil, err
	}
	if want := PackedBytes(bits, n, k); len(packed) != want {
		return nil, fmt.Errorf("lowbit: %d bytes for %d×%d codes of %d bits, want %d", len(packed), n, k, bits, want)
	}
	blocks := Padded(bits, k) / Elements(bits)
	mask := byte(1<<bits - 1)
	out := make([]byte, n*k)
	for r := range (n + tileRows - 1) / tileRows * tileRows {
		for c := range blocks * Elements(bits) {
			at, shift := place(bits, blocks, r, c)
			v := packed[at] >> shift & mask
			switch {
			case r < n && c < k:
				out[r*k+c] = v
			case v != 0:
				return nil, fmt.Errorf("lowbit: padding at row %d, column %d of %d×%d codes is not zero", r, c, n, k)
			}
		}
	}
	return out, nil
}

// Fragments packs u [n][k] for the matrix instruction m16n8k32 of GPUs: lane l
// of 32 (g = l/4, t = l%4) owns a 32-bit word; field f of its byte i is
// register f%4 of step f/4 and belongs to row g + 8·(reg&1) of a tile of 16,
// column 32·step + 4t + i + 16·(reg>>1). At 4 bits a step takes two words,
// with registers 0, 1 and 2, 3. n is a multiple of 16, k of 32 and, at one
// bit, of 64.
func Fragments(bits, n, k int, u []byte) ([]uint32, error) {
	fields := 8 / bits
	columns := 32 * max(1, fields/4) // of a word of all lanes
	if bits != 1 && bits != 2 && bits != 4 || n%16 != 0 || k%columns != 0 {
		return nil, fmt.Errorf("lowbit: fragments of %d×%d codes of %d bits: want rows in sixteens, columns in multiples of %d", n, k, bits, columns)
	}
	words := max(1, 4/fields) // a step
	var out []uint32
	for row := 0; row < n; row += 16 {
		for col := 0; col < k; col += columns {
			for w := range words {
				for l := range 32 {
					out = append(out, fragment(bits, k, u, row+l/4, col+4*(l%4), w*fields))
				}
			}
		}
	}
	return out, nil
}

// fragment is the word of a lane whose fields begin with register `first`.
func fragment(bits, k int, u []byte, row, col, first int) (word uint32) {
	for i := range 4 {
		for f := range 8 / bits {
			reg, step := (first+f)%4, f/4
			code := u[(row+8*(reg&1))*k+col+32*step+i+16*(reg>>1)]
			word |= uint32(code) << (8*i + bits*f)
		}
	}
	return word
}
