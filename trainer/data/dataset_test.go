package data

import (
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// testMNIST is an MNIST of three training and two test images of 4x4.
var testMNIST = mnistForm{train: 3, test: 2, side: 4, mean: 0.5, std: 0.25}

func gz(b []byte) []byte {
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	z.Write(b)
	z.Close()
	return out.Bytes()
}

// place writes the files of a set and returns its folder's parent.
func place(t *testing.T, set string, files map[string][]byte) string {
	t.Helper()
	root := t.TempDir()
	dir := filepath.Join(root, set)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, b := range files {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// testOpener knows small sets and has a cache of its own.
func testOpener(t *testing.T, root string) Opener {
	return Opener{Dir: root, Cache: t.TempDir(), sets: map[string]form{
		"mnist": testMNIST, "cifar10": testCIFAR,
		"chars": charForm{"input.txt"}, "words": wordForm{"train.txt", "valid.txt", "test.txt"},
	}}
}

func smallMNIST() map[string][]byte {
	pix := make([]byte, 48)
	for i := range pix {
		pix[i] = byte(5 * i)
	}
	return map[string][]byte{
		"train-images-idx3-ubyte.gz": gz(idxBytes(pix, 3, 4, 4)),
		"train-labels-idx1-ubyte":    idxBytes([]byte{7, 0, 9}, 3),
		"t10k-images-idx3-ubyte":     idxBytes(pix[:32], 2, 4, 4),
		"t10k-labels-idx1-ubyte.gz":  gz(idxBytes([]byte{1, 2}, 2)),
	}
}

// Two records of labels 3 and 7 with planes of constant 31 32 33 and 71 72 73.
const cifarInBzip2 = "425a6839314159265359872e40bc0000037400c8800000e00000e000082000508018054aa7e5332537bcee6f5f4f1b44ecb3ea264b2e8992cf513659ca27a59744d34d30c387f177245385090872e40bc0"

func smallCIFAR(t *testing.T) map[string][]byte {
	packed, err := hex.DecodeString(cifarInBzip2)
	if err != nil {
		t.Fatal(err)
	}
	return map[string][]byte{
		"data_batch_1.bin.bz2": packed,
		"data_batch_2.bin":     append(cifarRecord(1), cifarRecord(2)...),
		"test_batch.bin.gz":    gz(cifarRecord(5)),
	}
}

func TestOpenReadsEveryPacking(t *testing.T) {
	d, err := testOpener(t, place(t, "mnist", smallMNIST())).Open("mnist")
	if err != nil {
		t.Fatal(err)
	}
	train, test := d.Images.Train, d.Images.Test
	if train.N != 3 || train.Pix[47] != 235 || !slices.Equal(train.Label, []byte{7, 0, 9}) || train.Name != "mnist/train" {
		t.Errorf("mnist training: %d images, labels %v", train.N, train.Label)
	}
	if test.N != 2 || !slices.Equal(test.Label, []byte{1, 2}) {
		t.Errorf("mnist test: %d images, labels %v", test.N, test.Label)
	}
	d, err = testOpener(t, place(t, "cifar10", smallCIFAR(t))).Open("cifar10")
	if err != nil {
		t.Fatal(err)
	}
	train = d.Images.Train
	if !slices.Equal(train.Label, []byte{3, 7, 1, 2}) || !slices.Equal(train.Pix[3072:3075], []byte{71, 72, 73}) || d.Images.Test.Label[0] != 5 {
		t.Errorf("cifar: labels %v, pixel %v", train.Label, train.Pix[3072:3075])
	}
	for _, im := range []*Images{train, d.Images.Test} {
		if err := im.Validate(); err != nil {
			t.Error(err)
		}
	}
}

func TestOpenNamesTheFileThatIsWrong(t *testing.T) {
	for _, c := range []struct {
		name, set, file string
		content         []byte // nil = remove
		want            string
	}{
		{"idx cut", "mnist", "train-labels-idx1-ubyte", idxBytes([]byte{7, 0}, 3), "mnist: train-labels-idx1-ubyte: 10 bytes, want 11"},
		{"idx label", "mnist", "train-labels-idx1-ubyte", idxBytes([]byte{7, 10, 9}, 3), "label 10 of image 1, want below 10"},
		{"idx of other count", "mnist", "t10k-images-idx3-ubyte", idxBytes(make([]byte, 16), 1, 4, 4), "mnist: t10k-images-idx3-ubyte: idx dimension 0 is 1, want 2"},
		{"no gzip", "mnist", "train-images-idx3-ubyte.gz", []byte("hello world, this is text"), "mnist: train-images-idx3-ubyte.gz: gzip: invalid header"},
		{"gzip cut", "mnist", "train-images-idx3-ubyte.gz", smallMNIST()["train-images-idx3-ubyte.gz"][:40], "mnist: train-images-idx3-ubyte.gz: "},
		{"gzip with garbage behind", "mnist", "train-images-idx3-ubyte.gz", append(smallMNIST()["train-images-idx3-ubyte.gz"], "garbage behind"...), "gzip: invalid header"},
		{"bzip2 altered", "cifar10", "data_batch_1.bin.bz2", edit(smallCIFAR(t)["data_batch_1.bin.bz2"], 40, 0), "cifar10: data_batch_1.bin.bz2: "},
		{"cifar cut", "cifar10", "data_batch_2.bin", make([]byte, 6145), "cifar10: data_batch_2.bin: 6145 bytes, want 6146"},
		{"missing", "cifar10", "test_batch.bin.gz", nil, "cifar10: no file test_batch.bin (plain, .gz or .bz2) in "},
	} {
		files := smallMNIST()
		if c.set == "cifar10" {
			files = smallCIFAR(t)
		}
		delete(files, c.file)
		if c.content != nil {
			files[c.file] = c.content
		}
		o := testOpener(t, place(t, c.set, files))
		if _, err := o.Open(c.set); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", c.name, err, c.want)
		} else if errors.Is(err, ErrMissing) != (c.content == nil) {
			t.Errorf("%s: missing: %v", c.name, errors.Is(err, ErrMissing))
		}
		if left, _ := filepath.Glob(filepath.Join(o.Cache, c.set+"-train.images*")); c.name == "cifar cut" && len(left) > 1 {
			t.Errorf("%s: left in the cache: %v", c.name, left)
		}
	}
}

func TestMissingDataNamesFoldersAndRemedy(t *testing.T) {
	t.Setenv(EnvData, "")
	t.Setenv(EnvCache, t.TempDir())
	t.Chdir(t.TempDir())
	_, err := Open("mnist", "")
	var miss *MissingError
	if !errors.As(err, &miss) || !errors.Is(err, ErrMissing) {
		t.Fatalf("error %v", err)
	}
	for _, part := range []string{"mnist: no file train-images-idx3-ubyte", filepath.Join("..", "shared", "data", "mnist"),
		filepath.Join("data", "mnist"), os.Getenv(EnvCache), "espalier data get mnist", "--data"} {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error lacks %q: %v", part, err)
		}
	}
	if _, err := Open("minst", ""); err == nil || !strings.Contains(err.Error(), `unknown data set "minst", want one of cifar10, cifar100, fashion-mnist, mnist, optdigits`) {
		t.Errorf("unknown set: %v", err)
	}
}

func TestDataIsFoundWhereItMayBe(t *testing.T) {
	root := place(t, "mnist", smallMNIST())
	o := testOpener(t, "")
	t.Setenv(EnvData, root)
	if _, err := o.Open("mnist"); err != nil {
		t.Errorf("by environment: %v", err)
	}
	t.Setenv(EnvData, "")
	t.Setenv(EnvCache, t.TempDir())
	o.Dir = filepath.Join(root, "mnist")
	if _, err := o.Open("mnist"); err != nil {
		t.Errorf("in the set's own folder: %v", err)
	}
	o.Dir = ""
	t.Chdir(root)
	if err := os.Rename("mnist", "data"); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll("data/mnist", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename("data/train-labels-idx1-ubyte", "data/mnist/train-labels-idx1-ubyte"); err != nil {
		t.Fatal(err)
	}
	// Files in two folders do not make one set; the fuller folder is named.
	if _, err := o.Open("mnist"); err == nil || !strings.Contains(err.Error(), "no file train-labels-idx1-ubyte") {
		t.Errorf("files in two folders: %v", err)
	}
}

func TestTextSets(t *testing.T) {
	words := func(files map[string][]byte) (*Dataset, error) {
		return testOpener(t, place(t, "words", files)).Open("words")
	}
	train, valid, test := []byte("a b a\n"), []byte("a c\n"), []byte("c c\n")
	d, err := words(map[string][]byte{"train.txt.gz": gz(train), "valid.txt": valid, "test.txt": test})
	if err != nil || len(d.Text.Train) != 4 || !strings.Contains(d.Note, "1 of 3 validation words outside") {
		t.Errorf("train, valid and test: %+v, error %v", d, err)
	}
	d, err = words(map[string][]byte{"valid.txt": valid, "test.txt": test})
	if err != nil || len(d.Text.Train) != 3 || !strings.Contains(d.Note, "words: no train.txt, trained on test.txt") {
		t.Errorf("no train: %+v, error %v", d, err)
	}
	if _, err = words(map[string][]byte{"valid.txt": valid}); !errors.Is(err, ErrMissing) {
		t.Errorf("valid alone: error %v", err)
	}
	if _, err = words(map[string][]byte{"train.txt": train, "valid.txt": {}}); err == nil || !strings.Contains(err.Error(), "words: no text") {
		t.Errorf("empty: error %v", err)
	}
	d, err = testOpener(t, place(t, "chars", map[string][]byte{"input.txt": []byte("abcabcabca")})).Open("chars")
	if err != nil || d.Classes() != 3 || d.Note != "" {
		t.Errorf("characters: %+v, error %v", d, err)
	}
	if _, err = readText(packed{set: "t", path: filepath.Join(place(t, "t", map[string][]byte{"x": train}), "t", "x")}, 5); err == nil || err.Error() != "t: x: more than 5 bytes of text" {
		t.Errorf("too long: error %v", err)
	}
}

func TestOptionsMustSuitTheData(t *testing.T) {
	text := &Dataset{Name: "text", Text: counting(20, 5)}
	text.Text.Name = "text"
	images := &Dataset{Name: "images", Images: &ImageSet{testImages(4, 2, 2, 1), testImages(2, 2, 2, 1)}}
	for _, c := range []struct {
		name string
		d    *Dataset
		o    Options
		want string
	}{
		{"text", text, Options{Window: 4}, ""},
		{"images", images, Options{Augment: Augment{Flip: true}}, ""},
		{"augmented text", text, Options{Window: 4, Augment: Augment{Flip: true}}, "text: augmentation of images"},
		{"windows of images", images, Options{Window: 4}, "images: windows of 4 tokens"},
		{"no window", text, Options{}, "text: window of 0 tokens"},
	} {
		for mode, open := range map[string]func(Options) (Source, error){"training": c.d.Training, "evaluation": c.d.Evaluation} {
			src, err := open(c.o)
			if c.want == "" {
				if err != nil || src.Row().Classes != c.d.Classes() || src.Samples() == 0 {
					t.Errorf("%s: %s: error %v", c.name, mode, err)
				}
			} else if err == nil || !strings.HasPrefix(err.Error(), c.want) {
				t.Errorf("%s: %s: error %v, want %q", c.name, mode, err, c.want)
			}
		}
	}
}
