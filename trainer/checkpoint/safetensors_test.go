package checkpoint_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	. "github.com/espalier-ml/espalier/trainer/checkpoint"
)

// file builds a safetensors file by hand.
func file(header string, data ...byte) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	return append(append(b, header...), data...)
}

func write(t testing.TB, tensors []Tensor, metadata map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	n, err := WriteTensors(&b, tensors, metadata)
	if err != nil {
		t.Fatal(err)
	}
	if n != int64(b.Len()) {
		t.Fatalf("%d bytes reported, %d written", n, b.Len())
	}
	return b.Bytes()
}

func read(b []byte) ([]Tensor, map[string]string, error) {
	return ReadTensors(bytes.NewReader(b), int64(len(b)))
}

// everyType has a tensor of each type, a scalar and one without data.
func everyType() []Tensor {
	var list []Tensor
	for i, d := range []DType{U8, I8, F16, BF16, I32, F32, I64, F64} {
		data := make([]byte, 6*d.Size())
		for j := range data {
			data[j] = byte(i*16 + j)
		}
		list = append(list, Tensor{"block." + strings.ToLower(string(d)), d, []int{2, 3}, data})
	}
	return append(list,
		Tensor{"scalar", F32, []int{}, []byte{0, 0, 128, 63}},
		Tensor{"empty", F32, []int{3, 0, 2}, []byte{}},
		Tensor{"ü \"quoted\"\\\n\u2028", U8, []int{1}, []byte{7}})
}

func byName(list []Tensor) map[string]Tensor {
	m := map[string]Tensor{}
	for _, t := range list {
		m[t.Name] = t
	}
	return m
}

func TestWriteRead(t *testing.T) {
	tensors, metadata := everyType(), map[string]string{"format": "pt", "a\tb": "ö<&>"}
	b := write(t, tensors, metadata)
	got, gotMeta, err := read(b)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(byName(got), byName(tensors)) {
		t.Errorf("read %v\nwant %v", got, tensors)
	}
	if !reflect.DeepEqual(gotMeta, metadata) {
		t.Errorf("metadata %v, want %v", gotMeta, metadata)
	}
}

func TestBytesDependOnContentAlone(t *testing.T) {
	tensors := everyType()
	want := write(t, tensors, nil)
	slices.Reverse(tensors)
	if !bytes.Equal(write(t, tensors, nil), want) {
		t.Error("the order of the tensors changed the file")
	}
}

func TestDataAreAligned(t *testing.T) {
	b := write(t, everyType(), map[string]string{"k": "v"})
	h, err := ReadHeader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	if h.Start%64 != 0 {
		t.Errorf("data begin at %d, no multiple of 64", h.Start)
	}
	for _, e := range h.Entries {
		if e.Begin%int64(e.DType.Size()) != 0 {
			t.Errorf("%s begins at %d, not aligned to %s", e.Name, e.Begin, e.DType)
		}
	}
}

// The layout byte for byte: what other readers of the format rely on.
func TestGoldenFile(t *testing.T) {
	got := write(t, []Tensor{
		{"b", U8, []int{2}, []byte{1, 2}},
		{"a", F32, []int{1, 1}, []byte{0, 0, 128, 63}},
	}, map[string]string{"format": "pt"})
	header := `{"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[1,1],"data_offsets":[0,4]},` +
		`"b":{"dtype":"U8","shape":[2],"data_offsets":[4,6]}}`
	header += strings.Repeat(" ", 184-len(header))
	if want := file(header, 0, 0, 128, 63, 1, 2); !bytes.Equal(got, want) {
		t.Errorf("wrote\n%q, want\n%q", got, want)
	}
}

// Files as the reference implementation and other writers make them.
func TestReadForeign(t *testing.T) {
	for _, c := range []struct {
		name string
		in   []byte
		want []Tensor
	}{
		{"no tensors", file(`{}`), []Tensor{}},
		{"padded to 8", file(`{}      `), []Tensor{}},
		{"padded with tabs and newlines", file("{\n}\t\n"), []Tensor{}},
		{"attention", file(`{"attn.0":{"dtype":"F32","shape":[1,2,3],"data_offsets":[0,24]}}       `, make([]byte, 24)...),
			[]Tensor{{"attn.0", F32, []int{1, 2, 3}, make([]byte, 24)}}},
		{"unpadded", file(`{"test":{"dtype":"I32","shape":[2,2],"data_offsets":[0,16]}}`, make([]byte, 16)...),
			[]Tensor{{"test", I32, []int{2, 2}, make([]byte, 16)}}},
		{"names out of order of data", file(`{"x":{"dtype":"I8","shape":[1],"data_offsets":[1,2]},"y":{"data_offsets":[0,1],"shape":[1],"dtype":"I8"}}`, 5, 6),
			[]Tensor{{"y", I8, []int{1}, []byte{5}}, {"x", I8, []int{1}, []byte{6}}}},
		{"empty at the end", file(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"e":{"dtype":"F64","shape":[0],"data_offsets":[1,1]}}`, 9),
			[]Tensor{{"a", U8, []int{1}, []byte{9}}, {"e", F64, []int{0}, []byte{}}}},
		{"escapes", file(`{"\u00e9\n":{"dtype":"U8","shape":[],"data_offsets":[0,1]}}`, 9),
			[]Tensor{{"é\n", U8, []int{}, []byte{9}}}},
	} {
		got, _, err := read(c.in)
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %v, %v, want %v", c.name, got, err, c.want)
		}
	}
}

func TestReadRefuses(t *testing.T) {
	one := func(entry string) string { return `{"t":` + entry + `}` }
	huge := binary.LittleEndian.AppendUint64(nil, math.MaxUint64)
	for _, c := range []struct {
		name string
		in   []byte
		want error
	}{
		{"nothing", nil, ErrTruncated},
		{"half a length", make([]byte, 7), ErrTruncated},
		{"header missing", file("{}")[:9], ErrTruncated},
		{"header of 2^64-1", huge, ErrHeaderTooLarge},
		{"header of 100000001", binary.LittleEndian.AppendUint64(nil, 100_000_001), ErrHeaderTooLarge},
		{"header of length 0", file(""), ErrHeaderSyntax},
		{"leading space", file(" {}"), ErrHeaderSyntax},
		{"array", file("[]"), ErrHeaderSyntax},
		{"two objects", file("{}{}"), ErrHeaderSyntax},
		{"trailing comma", file(`{"__metadata__":{},}`), ErrHeaderSyntax},
		{"zero padding", file("{}\x00"), ErrHeaderSyntax},
		{"no UTF-8", file("{\"\xff\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[0,1]}}", 1), ErrHeaderSyntax},
		{"tensor is null", file(one(`null`)), ErrHeaderSyntax},
		{"no dtype", file(one(`{"shape":[],"data_offsets":[0,1]}`), 1), ErrHeaderSyntax},
		{"no shape", file(one(`{"dtype":"U8","data_offsets":[0,1]}`), 1), ErrHeaderSyntax},
		{"no offsets", file(one(`{"dtype":"U8","shape":[1]}`), 1), ErrHeaderSyntax},
		{"unknown key", file(one(`{"dtype":"U8","shape":[1],"data_offsets":[0,1],"stride":[1]}`), 1), ErrHeaderSyntax},
		{"other case of key", file(one(`{"DType":"U8","shape":[1],"data_offsets":[0,1]}`), 1), ErrHeaderSyntax},
		{"three offsets", file(one(`{"dtype":"U8","shape":[1],"data_offsets":[0,1,1]}`), 1), ErrHeaderSyntax},
		{"fraction", file(one(`{"dtype":"U8","shape":[1.0],"data_offsets":[0,1]}`), 1), ErrHeaderSyntax},
		{"exponent", file(one(`{"dtype":"U8","shape":[1e0],"data_offsets":[0,1]}`), 1), ErrHeaderSyntax},
		{"negative", file(one(`{"dtype":"U8","shape":[-1],"data_offsets":[0,1]}`), 1), ErrHeaderSyntax},
		{"number as text", file(one(`{"dtype":"U8","shape":["1"],"data_offsets":[0,1]}`), 1), ErrHeaderSyntax},
		{"dim of 2^63", file(one(`{"dtype":"U8","shape":[9223372036854775808],"data_offsets":[0,1]}`), 1), ErrHeaderSyntax},
		{"metadata of numbers", file(`{"__metadata__":{"a":1}}`), ErrHeaderSyntax},
		{"metadata is text", file(`{"__metadata__":"a"}`), ErrHeaderSyntax},
		{"name twice", file(`{"t":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"t":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`, 1), ErrDuplicateName},
		{"name twice by escape", file(`{"t":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"\u0074":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`, 1), ErrDuplicateName},
		{"dtype twice", file(one(`{"dtype":"U8","dtype":"U8","shape":[1],"data_offsets":[0,1]}`), 1), ErrDuplicateName},
		{"metadata twice", file(`{"__metadata__":{},"__metadata__":{}}`), ErrDuplicateName},
		{"metadata key twice", file(`{"__metadata__":{"a":"","a":""}}`), ErrDuplicateName},
		{"empty name", file(`{"":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`, 1), ErrBadName},
		{"unknown dtype", file(one(`{"dtype":"F8_E5M2","shape":[1],"data_offsets":[0,1]}`), 1), ErrUnknownDType},
		{"shape overflows", file(one(`{"dtype":"F64","shape":[4294967296,4294967296],"data_offsets":[0,0]}`)), ErrShapeOverflow},
		{"shape overflows to small", file(one(`{"dtype":"U8","shape":[4294967296,4294967297],"data_offsets":[0,0]}`)), ErrShapeOverflow},
		{"shape overflows before 0", file(one(`{"dtype":"U8","shape":[4294967296,4294967296,0],"data_offsets":[0,0]}`)), ErrShapeOverflow},
		{"backwards", file(one(`{"dtype":"U8","shape":[1],"data_offsets":[1,0]}`), 1), ErrOffsets},
		{"length differs", file(one(`{"dtype":"F32","shape":[2],"data_offsets":[0,4]}`), 1, 2, 3, 4), ErrLength},
		{"data cut", file(one(`{"dtype":"F32","shape":[2],"data_offsets":[0,8]}`), 1, 2, 3, 4), ErrTruncated},
		{"gap at start", file(one(`{"dtype":"U8","shape":[1],"data_offsets":[1,2]}`), 1, 2), ErrGap},
		{"gap inside", file(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"U8","shape":[1],"data_offsets":[2,3]}}`, 1, 2, 3), ErrGap},
		{"overlap", file(`{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}`, 1, 2, 3), ErrOverlap},
		{"same place", file(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`, 1), ErrOverlap},
		{"empty inside another", file(`{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[0],"data_offsets":[1,1]}}`, 1, 2), ErrOverlap},
		{"trailing bytes", file(one(`{"dtype":"U8","shape":[1],"data_offsets":[0,1]}`), 1, 2), ErrTrailing},
		{"bytes without tensors", file("{}", 0), ErrTrailing},
	} {
		if _, _, err := read(c.in); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
}

func TestDeepNestingIsRefused(t *testing.T) {
	deep := `{"a":` + strings.Repeat("[", 1<<20) + strings.Repeat("]", 1<<20) + `}`
	if _, _, err := read(file(deep)); !errors.Is(err, ErrHeaderSyntax) {
		t.Error(err)
	}
}

func TestWriteRefuses(t *testing.T) {
	for _, c := range []struct {
		name string
		in   []Tensor
		want error
	}{
		{"no name", []Tensor{{"", U8, nil, []byte{1}}}, ErrBadName},
		{"name of the metadata", []Tensor{{"__metadata__", U8, nil, []byte{1}}}, ErrBadName},
		{"name no UTF-8", []Tensor{{"\xff", U8, nil, []byte{1}}}, ErrBadName},
		{"twice", []Tensor{{"a", U8, nil, []byte{1}}, {"a", F32, []int{0}, nil}}, ErrDuplicateName},
		{"type", []Tensor{{"a", "f32", []int{1}, make([]byte, 4)}}, ErrUnknownDType},
		{"negative", []Tensor{{"a", U8, []int{-1, -1}, []byte{1}}}, ErrShapeOverflow},
		{"overflow", []Tensor{{"a", F32, []int{1 << 31, 1 << 31}, nil}}, ErrShapeOverflow},
		{"length", []Tensor{{"a", F32, []int{2}, make([]byte, 4)}}, ErrLength},
	} {
		var b bytes.Buffer
		if _, err := WriteTensors(&b, c.in, nil); !errors.Is(err, c.want) || b.Len() > 0 {
			t.Errorf("%s: %v and %d bytes, want %v and none", c.name, err, b.Len(), c.want)
		}
	}
}

func TestFloat32s(t *testing.T) {
	for n := range 10 {
		want := make([]float32, n)
		for i := range want {
			want[i] = float32(math.Pow(-3, float64(i)))
		}
		if n > 2 {
			want[1], want[2] = float32(math.Inf(-1)), math.Float32frombits(0x7fa00001) // a signalling NaN keeps its bits
		}
		got := make([]float32, n)
		if err := Float32s("v", []int{n}, want).CopyFloat32s(got); err != nil {
			t.Fatal(err)
		}
		for i := range want {
			if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
				t.Errorf("%d values: [%d] = %v, want %v", n, i, got[i], want[i])
			}
		}
	}
	v := Float32s("v", []int{2}, []float32{1, 2})
	if err := v.CopyFloat32s(make([]float32, 3)); !errors.Is(err, ErrLength) {
		t.Errorf("3 values from 2: %v", err)
	}
	v.DType = I32
	if err := v.CopyFloat32s(make([]float32, 2)); err == nil {
		t.Error("an I32 tensor was taken for F32")
	}
}

func TestExportImport(t *testing.T) {
	path := filepath.Join(t.TempDir(), "model.safetensors")
	for _, value := range []float32{1, 2} { // the second replaces the first
		in := []Tensor{Float32s("w", []int{1}, []float32{value})}
		if err := Export(path, in, map[string]string{"format": "pt"}); err != nil {
			t.Fatal(err)
		}
		got, metadata, err := Import(path)
		if err != nil || !reflect.DeepEqual(got, in) || metadata["format"] != "pt" {
			t.Errorf("import: %v %v %v, want %v", got, metadata, err, in)
		}
	}
	bad := []Tensor{{"w", F32, []int{2}, nil}}
	if err := Export(path, bad, nil); !errors.Is(err, ErrLength) || !strings.Contains(err.Error(), path) {
		t.Errorf("export of a bad tensor: %v, want ErrLength with the path", err)
	}
	if names, _ := os.ReadDir(filepath.Dir(path)); len(names) != 1 {
		t.Errorf("%d files left beside the export", len(names)-1)
	}
	if err := os.Truncate(path, 100); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Import(path); !errors.Is(err, ErrTruncated) || !strings.Contains(err.Error(), path) {
		t.Errorf("import of a cut file: %v, want ErrTruncated with the path", err)
	}
	if _, _, err := Import(filepath.Dir(path)); err == nil {
		t.Error("a folder was imported")
	}
}

// Whatever is accepted must be fully described: written again and read again
// it is the same, in memory bounded by the input.
func FuzzReadTensors(f *testing.F) {
	var seed bytes.Buffer
	if _, err := WriteTensors(&seed, everyType(), map[string]string{"a": "b"}); err != nil {
		f.Fatal(err)
	}
	f.Add(seed.Bytes())
	f.Add(file(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"e":{"dtype":"F64","shape":[0],"data_offsets":[1,1]}}`, 9))
	f.Add(file(`{"t":{"dtype":"U8","shape":[4294967296,4294967297],"data_offsets":[0,0]}}`))
	f.Add(file(`{"__metadata__":{"a":"\ud800"}}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		tensors, metadata, err := read(in)
		if err != nil {
			return
		}
		total := 0
		for _, x := range tensors {
			total += len(x.Data)
		}
		if total > len(in) {
			t.Fatalf("%d bytes of tensors from a file of %d", total, len(in))
		}
		again, metadata2, err := read(write(t, tensors, metadata))
		if err != nil {
			t.Fatalf("accepted, but not when written again: %v", err)
		}
		if len(metadata) > 0 && !reflect.DeepEqual(metadata, metadata2) {
			t.Fatalf("metadata %v, again %v", metadata, metadata2)
		}
		if !reflect.DeepEqual(byName(tensors), byName(again)) {
			t.Fatalf("tensors %v, again %v", tensors, again)
		}
	})
}

func FuzzSum(f *testing.F) {
	f.Add([]byte(Sum{1, 2, 3}.String()))
	f.Fuzz(func(t *testing.T, in []byte) {
		var s Sum
		if s.UnmarshalText(in) == nil && s.String() != string(in) {
			t.Fatalf("%q read as %v", in, s)
		}
	})
}
