package checkpoint

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
)

// The safetensors format: 8 bytes little-endian length N of the header, N
// bytes of JSON (padded with spaces), the data. Here the header is padded so
// that the data begin at a multiple of 64, and tensors stand in the order of
// falling element size, then name, so that each is aligned to its elements
// (the format allows no padding between them).

const dataAlign = 64

// WriteTensors writes a safetensors file to w: a header with metadata (may be
// nil) and the tensors, straight from their memory. Equal input gives equal
// bytes, whatever the order of tensors. It returns the number of bytes written.
func WriteTensors(w io.Writer, tensors []Tensor, metadata map[string]string) (int64, error) {
	head, order, err := encodeHead(tensors, metadata)
	if err != nil {
		return 0, err
	}
	return writeTensors(w, head, order)
}

func writeTensors(w io.Writer, head []byte, order []Tensor) (int64, error) {
	n, err := w.Write(head)
	total := int64(n)
	for i := 0; err == nil && i < len(order); i++ {
		n, err = w.Write(order[i].Data)
		total += int64(n)
	}
	return total, err
}

// encodeHead returns the bytes before the data, length included, and the
// tensors in the order of their data.
func encodeHead(tensors []Tensor, metadata map[string]string) (head []byte, order []Tensor, err error) {
	if err := checkTensors(tensors); err != nil {
		return nil, nil, err
	}
	places := orderOf(tensors)
	for _, i := range places {
		order = append(order, tensors[i])
	}
	head, err = headOf(tensors, places, metadata)
	return head, order, err
}

// orderOf is the order in which the data of tensors stand.
func orderOf(tensors []Tensor) []int {
	order := make([]int, len(tensors))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(i, j int) int {
		a, b := tensors[i], tensors[j]
		return cmp.Or(cmp.Compare(b.DType.Size(), a.DType.Size()), cmp.Compare(a.Name, b.Name))
	})
	return order
}

// headOf encodes the bytes before the data; the data are not looked at.
func headOf(tensors []Tensor, order []int, metadata map[string]string) ([]byte, error) {
	b := append(make([]byte, 8, 8+128*(len(order)+1)), '{')
	if len(metadata) > 0 {
		b = appendMetadata(b, metadata)
	}
	pos := int64(0)
	for _, i := range order {
		if len(b) > 9 {
			b = append(b, ',')
		}
		n, err := tensors[i].Bytes()
		if err != nil {
			return nil, err
		}
		b = appendEntry(b, tensors[i], pos, pos+n)
		if pos += n; pos < 0 {
			return nil, fmt.Errorf("tensor %q: %w: all data together", tensors[i].Name, ErrShapeOverflow)
		}
	}
	b = append(b, '}')
	for len(b)%dataAlign != 0 {
		b = append(b, ' ')
	}
	if len(b)-8 > maxHeader {
		return nil, fmt.Errorf("%w: %d bytes", ErrHeaderTooLarge, len(b)-8)
	}
	binary.LittleEndian.PutUint64(b, uint64(len(b)-8))
	return b, nil
}

func appendMetadata(b []byte, metadata map[string]string) []byte {
	b = append(appendString(b, metadataKey), ':', '{')
	for i, key := range slices.Sorted(maps.Keys(metadata)) {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendString(b, key), ':')
		b = appendString(b, metadata[key])
	}
	return append(b, '}')
}

func appendEntry(b []byte, t Tensor, begin, end int64) []byte {
	b = append(appendString(b, t.Name), `:{"dtype":"`...)
	b = append(b, t.DType...)
	b = append(b, `","shape":[`...)
	for i, dim := range t.Shape {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, int64(dim), 10)
	}
	b = append(b, `],"data_offsets":[`...)
	b = append(strconv.AppendInt(b, begin, 10), ',')
	b = strconv.AppendInt(b, end, 10)
	return append(b, ']', '}')
}

// appendString appends s as a JSON string; bytes that are no UTF-8 become
// U+FFFD (names are checked before, so only metadata can hold them).
func appendString(b []byte, s string) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r < 0x20:
			b = append(b, '\\', 'u', '0', '0', hex[r>>4], hex[r&15])
		default:
			b = append(b, string(r)...)
		}
	}
	return append(b, '"')
}

// ReadTensors reads a whole safetensors file of the given size into memory,
// in the order of its data.
func ReadTensors(r io.ReaderAt, size int64) ([]Tensor, map[string]string, error) {
	h, err := ReadHeader(r, size)
	if err != nil {
		return nil, nil, err
	}
	tensors := make([]Tensor, len(h.Entries))
	for i, e := range h.Entries {
		tensors[i] = Tensor{Name: e.Name, DType: e.DType, Shape: e.Shape, Data: make([]byte, e.End-e.Begin)}
		if err := readFull(r, tensors[i].Data, h.Start+e.Begin); err != nil {
			return nil, nil, fmt.Errorf("tensor %q: %w", e.Name, err)
		}
	}
	return tensors, h.Metadata, nil
}

// Export writes tensors as one safetensors file for other tools, atomically:
// path holds the whole file or what it held before. metadata may be nil; some
// readers look for "format" in it ("pt": arrays as PyTorch has them).
func Export(path string, tensors []Tensor, metadata map[string]string) error {
	return exportTo(osFS{}, path, tensors, metadata)
}

func exportTo(fsys FS, path string, tensors []Tensor, metadata map[string]string) error {
	temp := path + tempMark()
	fsys.Remove(temp) // left by a crash, perhaps
	err := writeFile(fsys, temp, func(w io.Writer) error {
		_, err := WriteTensors(w, tensors, metadata)
		return err
	})
	if err == nil {
		err = fsys.Rename(temp, path)
	}
	if err == nil {
		err = fsys.SyncDir(filepath.Dir(path))
	}
	if err != nil {
		fsys.Remove(temp)
		return fmt.Errorf("export %s: %w", path, err)
	}
	return nil
}

// Import reads a safetensors file: what Export wrote, or another tool.
func Import(path string) ([]Tensor, map[string]string, error) {
	src, err := osFS{}.Open(path)
	if err != nil {
		return nil, nil, fmt.Errorf("import: %w", err)
	}
	defer src.Close()
	tensors, metadata, err := ReadTensors(src, src.Size())
	if err != nil {
		return nil, nil, fmt.Errorf("import %s: %w", path, err)
	}
	return tensors, metadata, nil
}
