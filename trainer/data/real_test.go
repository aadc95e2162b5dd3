package data

import (
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// realData opens a published data set from $ESPALIER_DATA or ../shared/data
// beside the repository; without one the test is skipped by name.
func realData(t *testing.T, name string) *Dataset {
	t.Helper()
	d, err := Opener{Dir: realRoot(), Cache: t.TempDir()}.Open(name)
	if errors.Is(err, ErrMissing) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func realRoot() string {
	if d := os.Getenv(EnvData); d != "" {
		return d
	}
	return filepath.Join("..", "..", "..", "shared", "data")
}

func TestFashionMNIST(t *testing.T) {
	if testing.Short() {
		t.Skip("unpacking 60,000 images takes seconds under the race detector")
	}
	d := realData(t, "fashion-mnist")
	for _, c := range []struct {
		im *Images
		n  int
	}{{d.Images.Train, 6000}, {d.Images.Test, 1000}} {
		if err := c.im.Validate(); err != nil {
			t.Error(err)
		}
		count := make([]int, 10)
		for _, l := range c.im.Label {
			count[l]++
		}
		if slices.Min(count) != c.n || slices.Max(count) != c.n {
			t.Errorf("%s: classes %v, want %d of each", c.im.Name, count, c.n)
		}
	}
	checkMoments(t, d.Images.Train)
}

// checkMoments compares the published moments with those of the pixels.
func checkMoments(t *testing.T, im *Images) {
	t.Helper()
	mean, std := im.Moments()
	for c := range mean {
		if math.Abs(float64(mean[c]-im.Mean[c])) > 6e-5 || math.Abs(float64(std[c]-im.Std[c])) > 6e-5 {
			t.Errorf("%s channel %d: mean %v deviation %v, published %v %v", im.Name, c, mean[c], std[c], im.Mean[c], im.Std[c])
		}
	}
}

// One file only: bzip2 takes seconds.
func TestCIFAR10TestBatch(t *testing.T) {
	if testing.Short() {
		t.Skip("decoding test_batch.bin takes seconds")
	}
	found, _, n := findIn("cifar10", filepath.Join(realRoot(), "cifar10"), []string{"test_batch.bin"}, nil)
	if n == 0 {
		t.Skip("cifar10: no test_batch.bin")
	}
	pix, label := make([]byte, 10000*3072), make([]byte, 10000)
	_, err := readPacked(found[0], func(r io.Reader) ([]byte, error) {
		return nil, forms["cifar10"].(cifarForm).readRecords(r, pix, label)
	})
	if err != nil {
		t.Fatal(err)
	}
	count := make([]int, 10)
	for _, l := range label {
		count[l]++
	}
	// The first test image is a cat; every class has 1,000.
	if label[0] != 3 || slices.Min(count) != 1000 || slices.Max(count) != 1000 {
		t.Errorf("first label %d, classes %v", label[0], count)
	}
}

// All of CIFAR-10, where asked for by ESPALIER_TEST_CIFAR10=1.
func TestCIFAR10(t *testing.T) {
	if os.Getenv("ESPALIER_TEST_CIFAR10") == "" {
		t.Skip("decoding all files takes tens of seconds: set ESPALIER_TEST_CIFAR10=1")
	}
	d := realData(t, "cifar10")
	if err := d.Images.Train.Validate(); err != nil {
		t.Error(err)
	}
	checkMoments(t, d.Images.Train)
}

func TestTinyShakespeare(t *testing.T) {
	d := realData(t, "tiny-shakespeare")
	tok := d.Text
	if len(tok.Train) != 1003854 || len(tok.Valid) != 111540 || len(tok.Vocab) != 65 || d.Note != "" {
		t.Errorf("%d + %d tokens of %d, note %q", len(tok.Train), len(tok.Valid), len(tok.Vocab), d.Note)
	}
	if got := tok.Decode(tok.Train[:15]); got != "First Citizen:\n" {
		t.Errorf("begins with %q", got)
	}
}

func TestWikiText2(t *testing.T) {
	d := realData(t, "wikitext-2")
	tok := d.Text
	if len(tok.Valid) != 213886+3760 {
		t.Errorf("%d validation tokens", len(tok.Valid))
	}
	// With train.txt 2,088,628 tokens of 33,278 words, else test.txt's.
	if n := len(tok.Train); n != 2088628 && (n != 245569 || !strings.Contains(d.Note, "no train.txt, trained on test.txt")) {
		t.Errorf("%d training tokens of %d, note %q", n, len(tok.Vocab), d.Note)
	}
	t.Log(d.Note)
}

func TestRealFilesHaveTheirSums(t *testing.T) {
	for _, name := range []string{"fashion-mnist", "tiny-shakespeare", "wikitext-2", "cifar10"} {
		status, err := Verify(t.Context(), name, realRoot())
		if err != nil {
			t.Error(err)
		}
		for _, s := range status {
			if s.State == Altered {
				t.Errorf("%s: %s: %s", name, s.File, s.Detail)
			}
		}
		t.Log(name, status)
	}
}
