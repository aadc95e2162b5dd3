package data

import (
	"bytes"
	"strings"
	"testing"
)

// testCIFAR is a CIFAR-10 of two files of two records, and one of one record.
var testCIFAR = cifarForm{
	train: []string{"data_batch_1.bin", "data_batch_2.bin"}, test: []string{"test_batch.bin"},
	records: 2, tests: 1, classes: 10,
	mean: []float32{0.5, 0.5, 0.5}, std: []float32{0.25, 0.25, 0.25},
}

// cifarRecord has labels and three planes, all different.
func cifarRecord(labels ...byte) []byte {
	b := bytes.Clone(labels)
	for c := range 3 {
		for i := range cifarPlane {
			b = append(b, byte(i*(c+1)+int(labels[0])))
		}
	}
	return b
}

func TestReadCIFARRecords(t *testing.T) {
	fine := cifarForm{coarse: 20, classes: 100}
	two := append(cifarRecord(3), cifarRecord(9)...)
	hundred := append(cifarRecord(19, 99), cifarRecord(0, 42)...)
	for _, c := range []struct {
		name string
		form cifarForm
		in   []byte
		want string
	}{
		{"good", testCIFAR, two, ""},
		{"good with coarse labels", fine, hundred, ""},
		{"empty", testCIFAR, nil, "0 bytes, want 6146"},
		{"cut", testCIFAR, two[:6000], "6000 bytes, want 6146"},
		{"one record", testCIFAR, two[:3073], "3073 bytes, want 6146"},
		{"trailing", testCIFAR, append(bytes.Clone(two), 1), "more than the 6146 bytes wanted"},
		{"label", testCIFAR, edit(two, 3073, 10), "record 1: label 10, want below 10"},
		{"coarse label", fine, edit(hundred, 0, 20), "record 0: coarse label 20, want below 20"},
		{"fine label", fine, edit(hundred, 3075, 100), "record 1: label 100, want below 100"},
	} {
		pix, label := make([]byte, 2*3072), make([]byte, 2)
		err := c.form.readRecords(bytes.NewReader(c.in), pix, label)
		if c.want != "" {
			if err == nil || err.Error() != c.want {
				t.Errorf("%s: error %v, want %q", c.name, err, c.want)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		size := len(c.in) / 2
		for n := range 2 {
			rec := c.in[n*size:]
			head := size - 3072
			if label[n] != rec[head-1] {
				t.Errorf("%s: label %d, want %d", c.name, label[n], rec[head-1])
			}
			for i := range 3072 { // value i of NHWC is channel i%3 of pixel i/3
				if got, want := pix[n*3072+i], rec[head+i%3*cifarPlane+i/3]; got != want {
					t.Fatalf("%s: record %d value %d: %d, want %d", c.name, n, i, got, want)
				}
			}
		}
	}
}

func TestManyRecordsGoThroughTheBuffer(t *testing.T) {
	const n = 150 // buffer holds 64
	var in []byte
	for i := range n {
		in = append(in, cifarRecord(byte(i%10))...)
	}
	pix, label := make([]byte, n*3072), make([]byte, n)
	if err := testCIFAR.readRecords(bytes.NewReader(in), pix, label); err != nil {
		t.Fatal(err)
	}
	for i, l := range label {
		if int(l) != i%10 || pix[i*3072] != byte(i%10) {
			t.Errorf("record %d: label %d, first pixel %d", i, l, pix[i*3072])
		}
	}
	err := testCIFAR.readRecords(bytes.NewReader(in[:len(in)-5]), pix, label)
	if err == nil || !strings.HasPrefix(err.Error(), "460945 bytes, want 460950") {
		t.Errorf("cut: error %v", err)
	}
}

func FuzzCIFAR(f *testing.F) {
	f.Add(append(cifarRecord(3), cifarRecord(9)...))
	f.Add(cifarRecord(3))
	f.Add(append(cifarRecord(3), cifarRecord(200)...))
	f.Fuzz(func(t *testing.T, in []byte) {
		pix, label := make([]byte, 2*3072), make([]byte, 2)
		err := testCIFAR.readRecords(bytes.NewReader(in), pix, label)
		good := len(in) == 2*3073 && in[0] < 10 && in[3073] < 10
		if (err == nil) != good {
			t.Fatalf("%d bytes: error %v", len(in), err)
		}
	})
}
