package checkpoint

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"unicode/utf8"
)

// maxHeader is the limit of the reference implementation of the format.
const maxHeader = 100_000_000

// Header is the table of contents of a safetensors file.
type Header struct {
	Metadata map[string]string // nil if the file has none
	Entries  []Entry           // in the order of their data
	Start    int64             // offset of the data in the file
}

// Entry places one tensor: its data are the bytes [Begin, End) after Start.
type Entry struct {
	Name       string
	DType      DType
	Shape      []int
	Begin, End int64
}

// ReadHeader reads and checks the header of a safetensors file of the given
// size. It accepts only files whose tensors cover the data exactly once, and
// never allocates more than a small multiple of the bytes that are there.
func ReadHeader(r io.ReaderAt, size int64) (Header, error) {
	h, _, err := readHead(r, size)
	return h, err
}

// readHead also returns the raw bytes before the data.
func readHead(r io.ReaderAt, size int64) (Header, []byte, error) {
	var length [8]byte
	if size < 8 {
		return Header{}, nil, fmt.Errorf("%w: %d bytes, want at least 8", ErrTruncated, size)
	}
	if _, err := r.ReadAt(length[:], 0); err != nil && err != io.EOF {
		return Header{}, nil, err
	}
	n := binary.LittleEndian.Uint64(length[:])
	if n > maxHeader {
		return Header{}, nil, fmt.Errorf("%w: %d bytes", ErrHeaderTooLarge, n)
	}
	if int64(n) > size-8 {
		return Header{}, nil, fmt.Errorf("%w: header of %d bytes in a file of %d", ErrTruncated, n, size)
	}
	raw := make([]byte, 8+n)
	if err := readFull(r, raw, 0); err != nil {
		return Header{}, nil, err
	}
	h, err := parseHeader(raw[8:], size-8-int64(n))
	h.Start = 8 + int64(n)
	return h, raw, err
}

// readFull fills p from offset off; a file that ends early is ErrTruncated.
func readFull(r io.ReaderAt, p []byte, off int64) error {
	n, err := r.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	if err == io.EOF {
		return fmt.Errorf("%w: it ends at byte %d, want %d", ErrTruncated, off+int64(n), off+int64(len(p)))
	}
	return err
}

// parseHeader reads the JSON of a header followed by data bytes of data. The
// whole text is checked for syntax first, so the token reader below only has
// to look for the right kinds of tokens, duplicate keys included.
func parseHeader(text []byte, data int64) (Header, error) {
	if len(text) == 0 || text[0] != '{' {
		return Header{}, fmt.Errorf("%w: it must begin with {", ErrHeaderSyntax)
	}
	if !utf8.Valid(text) || !json.Valid(text) {
		return Header{}, fmt.Errorf("%w: not one JSON object in UTF-8", ErrHeaderSyntax)
	}
	var h Header
	seen := map[string]bool{}
	t := tokens{json.NewDecoder(bytes.NewReader(text))}
	t.d.UseNumber()
	err := t.object(func(name string) (err error) {
		if seen[name] {
			return fmt.Errorf("%w %q", ErrDuplicateName, name)
		}
		seen[name] = true
		if name == metadataKey {
			h.Metadata, err = t.metadata()
			return err
		}
		e, err := t.entry(name)
		h.Entries = append(h.Entries, e)
		return err
	})
	if err != nil {
		return Header{}, err
	}
	return h, placeEntries(h.Entries, data)
}

// placeEntries sorts entries by their data and checks that these follow each
// other without overlap or gap and fill data bytes.
func placeEntries(entries []Entry, data int64) error {
	slices.SortFunc(entries, func(a, b Entry) int {
		return cmp.Or(cmp.Compare(a.Begin, b.Begin), cmp.Compare(a.End, b.End), cmp.Compare(a.Name, b.Name))
	})
	pos := int64(0)
	for _, e := range entries {
		want, err := byteLen(e.Name, e.DType, e.Shape)
		switch {
		case err != nil:
			return err
		case e.End < e.Begin:
			err = ErrOffsets
		case e.End-e.Begin != want:
			err = ErrLength
		case e.End > data:
			err = ErrTruncated
		case e.Begin < pos:
			err = ErrOverlap
		case e.Begin > pos:
			err = ErrGap
		}
		if err != nil {
			return fmt.Errorf("tensor %q: %w: bytes %d to %d of %d, %s%v needs %d, expected to begin at %d",
				e.Name, err, e.Begin, e.End, data, e.DType, e.Shape, want, pos)
		}
		pos = e.End
	}
	if pos != data {
		return fmt.Errorf("%w: %d of %d bytes belong to tensors", ErrTrailing, pos, data)
	}
	return nil
}
