package data

import (
	"encoding/binary"
	"fmt"
	"io"
)

// idx is the format of the MNIST family: two zero bytes, the type of the
// values (8 = unsigned byte), the number of dimensions, each dimension as a
// big-endian 32-bit number, then the values, last dimension fastest.
const idxUbyte = 0x08

// readIDX reads exactly one idx file of unsigned bytes with the dimensions
// want. The header is compared before anything is allocated.
func readIDX(r io.Reader, want ...int) ([]byte, error) {
	head := make([]byte, 4+4*len(want))
	if err := readExactly(r, head, len(head)); err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	if head[0] != 0 || head[1] != 0 {
		return nil, fmt.Errorf("not an idx file: starts with bytes % x, want 00 00", head[:2])
	}
	if head[2] != idxUbyte {
		return nil, fmt.Errorf("idx type %#02x, want %#02x (unsigned bytes)", head[2], idxUbyte)
	}
	if int(head[3]) != len(want) {
		return nil, fmt.Errorf("%d idx dimensions, want %d", head[3], len(want))
	}
	size := 1
	for i, w := range want {
		if d := binary.BigEndian.Uint32(head[4+4*i:]); uint64(d) != uint64(w) {
			return nil, fmt.Errorf("idx dimension %d is %d, want %d", i, d, w)
		}
		size *= w
	}
	data := make([]byte, size)
	return data, readToEnd(r, data, len(head)+size)
}

// readExactly fills buf; total is the size of the whole file for the message,
// of which buf is the last part.
func readExactly(r io.Reader, buf []byte, total int) error {
	n, err := io.ReadFull(r, buf)
	switch err {
	case nil:
		return nil
	case io.EOF, io.ErrUnexpectedEOF:
		return fmt.Errorf("%d bytes, want %d", total-len(buf)+n, total)
	}
	return fmt.Errorf("after %d bytes: %w", total-len(buf)+n, err)
}

// readToEnd is readExactly, and refuses further bytes.
func readToEnd(r io.Reader, buf []byte, total int) error {
	if err := readExactly(r, buf, total); err != nil {
		return err
	}
	return atEnd(r, total)
}

// atEnd checks that r has no byte left; it also makes a decompressor check its
// own trailer.
func atEnd(r io.Reader, total int) error {
	var one [1]byte
	switch n, err := io.ReadFull(r, one[:]); {
	case n > 0:
		return fmt.Errorf("more than the %d bytes wanted", total)
	case err != io.EOF:
		return fmt.Errorf("after %d bytes: %w", total, err)
	}
	return nil
}

// mnistFiles are the files of the MNIST family, in the order of mnistForm.
var mnistFiles = [4]string{
	"train-images-idx3-ubyte", "train-labels-idx1-ubyte",
	"t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte",
}

// mnistForm is one data set of the family.
type mnistForm struct {
	train, test, side int
	mean, std         float32 // as published with the set
	names             []string
}

func (f mnistForm) shape(name string, test bool) *Images {
	n := f.train
	if test {
		n = f.test
	}
	return &Images{Name: name, N: n, H: f.side, W: f.side, C: 1, Classes: 10, Max: 255,
		Mean: []float32{f.mean}, Std: []float32{f.std}, Names: f.names}
}

func (f mnistForm) read(name string, files []packed, test bool) (*Images, error) {
	im, pair := f.shape(name, test), files[:2]
	if test {
		pair = files[2:]
	}
	var err error
	im.Pix, err = readPacked(pair[0], func(r io.Reader) ([]byte, error) { return readIDX(r, im.N, im.H, im.W) })
	if err != nil {
		return nil, err
	}
	im.Label, err = readPacked(pair[1], func(r io.Reader) ([]byte, error) { return readIDX(r, im.N) })
	if err != nil {
		return nil, err
	}
	return im, checkLabels(pair[1].base(), im.Label, im.Classes)
}
