package checkpoint

import (
	"bytes"
	"encoding/json"
	"slices"
	"testing"
)

func packable() State {
	return State{
		Meta: Meta{Step: 7, Seed: 3, Shards: 4, Job: "j", Plan: json.RawMessage(`{"a":1}`),
			Methods: map[string]json.RawMessage{"grow": json.RawMessage(`{"stage":2}`), "empty": json.RawMessage(`null`)}},
		Tensors: []Tensor{
			Float32s("w", []int{2, 2}, []float32{1, 2, 3, 4}),
			Float32s("b", []int{1}, []float32{5}),
			{Name: "bits", DType: U8, Shape: []int{3}, Data: []byte{1, 2, 3}},
			{Name: "none", DType: F32, Shape: []int{0}},
		},
	}
}

func pack(t testing.TB, st State, memory []byte) Packed {
	t.Helper()
	p, err := Pack(st, memory, func(i int, dst []byte) error { copy(dst, st.Tensors[i].Data); return nil })
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPackedStatesComeBack(t *testing.T) {
	st := packable()
	p := pack(t, st, nil)
	got, err := Unpack(p.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if Digest(got.State.Tensors) != Digest(st.Tensors) || Digest(p.State.Tensors) != Digest(st.Tensors) {
		t.Error("the tensors are others")
	}
	if m := got.State.Meta; m.Step != 7 || m.Job != "j" || string(m.Methods["grow"]) != `{"stage":2}` || string(m.Plan) != `{"a":1}` {
		t.Errorf("metadata %+v", m)
	}
	again := pack(t, got.State, nil)
	if !bytes.Equal(again.Bytes, p.Bytes) {
		t.Error("packed anew, the bytes differ")
	}
}

// The bytes are those of the state, not of the order of tensors or of what the
// memory held before; memory that is large enough is used.
func TestPackingIsCanonical(t *testing.T) {
	st := packable()
	want := pack(t, st, nil).Bytes
	slices.Reverse(st.Tensors)
	memory := bytes.Repeat([]byte{0xff}, 2*len(want))
	got := pack(t, st, memory).Bytes
	if !bytes.Equal(got, want) {
		t.Error("the bytes depend on the order of tensors or on the memory")
	}
	if &got[0] != &memory[0] {
		t.Error("the memory was not used")
	}
}

func TestUnpackRefusesDamage(t *testing.T) {
	good := pack(t, packable(), nil).Bytes
	for n := range len(good) {
		if _, err := Unpack(good[:n]); err == nil {
			t.Fatalf("%d of %d bytes were accepted", n, len(good))
		}
	}
	huge := bytes.Clone(good)
	huge[7] = 0x7f
	if _, err := Unpack(huge); err == nil {
		t.Error("metadata longer than the bytes were accepted")
	}
	if _, err := Unpack(append(bytes.Clone(good), 0)); err == nil {
		t.Error("a byte too many was accepted")
	}
}

func FuzzUnpack(f *testing.F) {
	f.Add(pack(f, packable(), nil).Bytes)
	f.Add([]byte("\x02\x00\x00\x00\x00\x00\x00\x00{}\x02\x00\x00\x00\x00\x00\x00\x00{}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := Unpack(b)
		if err != nil {
			return
		}
		for _, x := range p.State.Tensors {
			if err := x.checkLength(); err != nil {
				t.Fatal(err)
			}
		}
	})
}
