package checkpoint

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
)

// Packed is a state as one run of bytes, which is how one process hands it to
// another: the length of the metadata in 8 bytes, the metadata as JSON padded
// with spaces to a multiple of 64, and the tensors as a safetensors file. The
// same state gives the same bytes, whatever the order of its tensors.
type Packed struct {
	State State // its tensors are views of Bytes
	Bytes []byte
}

// maxMeta bounds the metadata of a packed state.
const maxMeta = 64 << 20

// Pack packs a state. The Data of st.Tensors are not looked at; fill(i, dst)
// writes those of tensor i instead, as for Saver.BeginFunc. memory is used if
// it is large enough.
func Pack(st State, memory []byte, fill func(i int, dst []byte) error) (Packed, error) {
	head, order, err := packedHead(st)
	if err != nil {
		return Packed{}, fmt.Errorf("pack the state of step %d: %w", st.Meta.Step, err)
	}
	total := int64(len(head))
	for _, i := range order {
		n, _ := st.Tensors[i].Bytes()
		total += n
	}
	if int64(cap(memory)) < total {
		memory = make([]byte, total)
	}
	p := Packed{Bytes: memory[:total], State: State{Meta: st.Meta, Tensors: slices.Clone(st.Tensors)}}
	at := int64(copy(p.Bytes, head))
	for _, i := range order {
		n, _ := st.Tensors[i].Bytes()
		p.State.Tensors[i].Data = p.Bytes[at : at+n : at+n]
		if err := fill(i, p.State.Tensors[i].Data); err != nil {
			return Packed{}, fmt.Errorf("pack tensor %q: %w", st.Tensors[i].Name, err)
		}
		at += n
	}
	return p, nil
}

// packedHead is what stands before the data, and the order of the tensors'.
func packedHead(st State) (head []byte, order []int, err error) {
	if err := checkLayout(st.Tensors); err != nil {
		return nil, nil, err
	}
	if err := st.Meta.check(); err != nil {
		return nil, nil, err
	}
	meta, err := json.Marshal(st.Meta)
	if err != nil {
		return nil, nil, err
	}
	for (8+len(meta))%dataAlign != 0 {
		meta = append(meta, ' ')
	}
	if len(meta) > maxMeta {
		return nil, nil, fmt.Errorf("metadata of %d bytes, want at most %d", len(meta), maxMeta)
	}
	order = orderOf(st.Tensors)
	tensors, err := headOf(st.Tensors, order, nil)
	if err != nil {
		return nil, nil, err
	}
	head = binary.LittleEndian.AppendUint64(nil, uint64(len(meta)))
	return append(append(head, meta...), tensors...), order, nil
}

// Unpack is the inverse of Pack; the result shares memory with b. It refuses
// what Pack cannot have made and allocates no more than a small multiple of
// what is there.
func Unpack(b []byte) (Packed, error) {
	if len(b) < 8 {
		return Packed{}, fmt.Errorf("unpack a state: %w: %d bytes", ErrTruncated, len(b))
	}
	n := binary.LittleEndian.Uint64(b)
	if n > maxMeta || n > uint64(len(b)-8) {
		return Packed{}, fmt.Errorf("unpack a state: %w: metadata of %d bytes in %d", ErrTruncated, n, len(b))
	}
	p := Packed{Bytes: b}
	if err := json.Unmarshal(b[8:8+n], &p.State.Meta); err != nil {
		return Packed{}, fmt.Errorf("unpack a state: metadata: %w", err)
	}
	file := b[8+n:]
	h, err := ReadHeader(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		return Packed{}, fmt.Errorf("unpack the state of step %d: %w", p.State.Meta.Step, err)
	}
	for _, e := range h.Entries {
		lo, hi := h.Start+e.Begin, h.Start+e.End
		p.State.Tensors = append(p.State.Tensors, Tensor{Name: e.Name, DType: e.DType, Shape: e.Shape, Data: file[lo:hi:hi]})
	}
	return p, nil
}
